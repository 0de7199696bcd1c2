import type { Log } from '../../core/log.ts'
import type { WorkerPorts } from '../worker.ts'
import type { PrimaryCalls } from './process-calls.ts'
import { encodeError } from './wire-error.ts'

export type ServedPorts = Pick<WorkerPorts, 'names' | 'hosts' | 'blocks' | 'certificates' | 'domainReport'>

/** The primary's side of a worker's ports: answers its questions from the real ones, and writes its log lines. */
export function servePorts(ports: ServedPorts, log: Log): PrimaryCalls {
  const { names, hosts, blocks, certificates } = ports
  return {
    resolve: (host, signal) => names.resolve(host, signal),
    hosts: (itemHash, signal) => hosts.hosts(itemHash, signal),
    block: (cid, signal) => blocks.block(cid, signal),
    async domainReport(host, signal) {
      if (!ports.domainReport) throw new Error('there are no reports on domains')
      return ports.domainReport(host, signal)
    },
    readyCertificate: (serverName) => certificates.find(serverName),
    obtainCertificate: async (serverName, signal) =>
      certificates.find(serverName) ?? (await certificates.obtain(serverName, signal)),
    // A worker asks about names of which it holds no certificate; there may be one here all the same.
    async refusal(serverName) {
      const error = certificates.find(serverName) ? undefined : await certificates.refusal?.(serverName)
      return error && encodeError(error)
    },
    httpChallenge: async ({ host, token }) => certificates.httpChallenge(host, token),
    alpnChallenge: async (serverName) => certificates.alpnChallenge(serverName),
    log: ({ level, message, fields }) => log[level](message, fields),
  }
}
