import { AppError } from '../../core/errors.ts'
import { createLog, type Log } from '../../core/log.ts'
import type { TicketKeySource, TicketKeys } from '../ports.ts'
import type { WorkerPorts } from '../worker.ts'
import { CertificateMirror } from './certificate-mirror.ts'
import type { IpcPeer } from './ipc.ts'
import type { PrimaryCalls, WorkerStart } from './process-calls.ts'
import { decodeError } from './wire-error.ts'

/** The ticket keys that the primary has sent last. */
export class RemoteTicketKeys implements TicketKeySource {
  #keys: TicketKeys
  readonly #listeners: ((keys: TicketKeys) => void)[] = []

  constructor(keys: TicketKeys) {
    this.#keys = keys
  }

  current(): TicketKeys {
    return this.#keys
  }

  onChange(listener: (keys: TicketKeys) => void): void {
    this.#listeners.push(listener)
  }

  set(keys: TicketKeys): void {
    this.#keys = keys
    for (const listener of this.#listeners) listener(keys)
  }
}

export interface RemotePorts extends Pick<WorkerPorts, 'names' | 'hosts' | 'blocks' | 'domainReport'> {
  certificates: CertificateMirror
  ticketKeys: RemoteTicketKeys
}

/** The worker's side of its ports: each asks the primary. */
export function remotePorts(primary: IpcPeer<PrimaryCalls>, start: WorkerStart): RemotePorts {
  const nobody = new AbortController().signal
  const certificates = new CertificateMirror({
    load: (serverName, signal) => primary.call('readyCertificate', serverName, signal),
    obtain: (serverName, signal) => primary.call('obtainCertificate', serverName, signal),
    async refusal(serverName) {
      const error = await primary.call('refusal', serverName, nobody)
      const refusal = error && decodeError(error)
      return refusal instanceof AppError ? refusal : undefined
    },
    httpChallenge: (host, token) => primary.call('httpChallenge', { host, token }),
    alpnChallenge: (serverName) => primary.call('alpnChallenge', serverName),
  })
  return {
    names: { resolve: (host, signal) => primary.call('resolve', host, signal) },
    hosts: { hosts: (itemHash, signal) => primary.call('hosts', itemHash, signal) },
    blocks: { block: (cid, signal) => primary.call('block', cid, signal) },
    ...(start.domainReport ? { domainReport: (host, signal) => primary.call('domainReport', host, signal) } : {}),
    certificates,
    ticketKeys: new RemoteTicketKeys(start.ticketKeys),
  }
}

/** A log whose lines the primary writes. Debug lines stay here: they are not worth a message each. */
export function remoteLog(primary: IpcPeer<PrimaryCalls>): Log {
  return createLog(({ level, message, fields }) => primary.notify('log', { level, message, fields }), 'info')
}
