import { statSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../../core/clock.ts'
import { stderrLog } from '../../core/log.ts'
import { systemRandom } from '../../core/random.ts'
import { createNetworkClient, type NetworkClient } from '../../node/client/network-client.ts'
import { encodeHostLabel } from '../../node/protocol/host-label.ts'
import { type Command, UsageError } from '../command.ts'
import { packFolder } from '../pack-folder.ts'
import { readKeyFile } from './key-file.ts'

/** Where the network's own nodes answer. */
const defaultCcn = 'https://official.aleph.cloud'

export const command: Command = {
  name: 'publish',
  summary: 'publish a program or a static site',
  positionals: '<folder>',
  details: [
    'A folder with main.py becomes a Python program (entry main:app), one with server.mjs or server.js a Node program,',
    'one with index.html a static site. --entry and --runtime say otherwise.',
    '',
    'A new version of a program: --updates <hash of its first code>, printed when it was published.',
    'Everything published is public and signed by the key.',
  ].join('\n'),
  options: {
    key: { type: 'string', value: 'file', help: 'file with the Ethereum key that signs (64 hex digits)' },
    ccn: { type: 'string', value: 'url', help: `node to publish to (default ${defaultCcn})` },
    entry: { type: 'string', value: 'entry', help: 'entry point: main:app, or the file to run' },
    runtime: { type: 'string', value: 'name', help: 'python or node' },
    updates: { type: 'string', value: 'hash', help: 'publish only a new version of this code' },
    zone: { type: 'string', value: 'zone', help: 'zone of a gateway, to print the address' },
    json: { type: 'boolean', help: 'print one JSON object' },
  },
  async run({ values, positionals }) {
    const folder = positionals[0]
    if (folder === undefined) throw new UsageError('Name the folder to publish.')
    if (typeof values.key !== 'string') throw new UsageError('Name the file with the signing key: --key <file>.')
    const signer = readKeyFile(values.key)
    await using network = createNetworkClient({
      ccnUrls: [(values.ccn as string | undefined) ?? defaultCcn],
      clock: systemClock,
      random: systemRandom,
      log: stderrLog('warn'),
    })
    const result = await publishFolder(network, signer, folder, values)
    if (values.json) process.stdout.write(`${JSON.stringify(result)}\n`)
    else
      process.stdout.write(
        Object.entries(result)
          .map(([name, value]) => `${name.padEnd(8)} ${value}\n`)
          .join(''),
      )
    return 0
  },
}

type Values = Readonly<Record<string, string | boolean | undefined>>

async function publishFolder(
  network: NetworkClient,
  signer: ReturnType<typeof readKeyFile>,
  folder: string,
  values: Values,
): Promise<Record<string, string>> {
  const plan = planPublication(folder, values)
  if (plan.kind === 'site') {
    const { itemHash, cid } = await network.publishSite({ signer, directory: folder })
    return { site: itemHash, cid, owner: signer.address, dnslink: `dnslink=/ipfs/${cid}` }
  }
  const code = packFolder(folder)
  if (typeof values.updates === 'string') {
    const { itemHash } = await network.publishFile({ signer, bytes: code, ref: values.updates })
    return { code: itemHash, updates: values.updates }
  }
  const program = await network.publishProgram({
    signer,
    code,
    encoding: 'zip',
    entrypoint: plan.entry,
    runtime: plan.runtime,
  })
  const label = encodeHostLabel(program.itemHash)
  const result = { program: program.itemHash, label, code: program.codeHash, owner: signer.address }
  return typeof values.zone === 'string' ? { ...result, url: `https://${label}.${values.zone}/` } : result
}

type Plan = { kind: 'site' } | { kind: 'program'; entry: string; runtime: string }

/** Decides what a folder is from the files in it, unless the options say so. @throws UsageError */
function planPublication(folder: string, values: Values): Plan {
  const has = (name: string): boolean => statSync(join(folder, name), { throwIfNoEntry: false })?.isFile() ?? false
  const entry = typeof values.entry === 'string' ? values.entry : undefined
  const runtime = typeof values.runtime === 'string' ? values.runtime : undefined
  if (entry !== undefined)
    return { kind: 'program', entry, runtime: runtime ?? (/\.[cm]?js$/.test(entry) ? 'node' : 'python') }
  if (has('main.py')) return { kind: 'program', entry: 'main:app', runtime: runtime ?? 'python' }
  for (const file of ['server.mjs', 'server.js'])
    if (has(file)) return { kind: 'program', entry: file, runtime: runtime ?? 'node' }
  if (has('index.html')) return { kind: 'site' }
  throw new UsageError(`The folder ${folder} holds no main.py, server.mjs, server.js or index.html.`, {
    hint: 'Say how to start it with --entry and --runtime.',
  })
}
