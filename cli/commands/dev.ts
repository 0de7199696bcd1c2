import { spawn } from 'node:child_process'
import { resolve } from 'node:path'
import { runUntilStopped } from '../../core/lifecycle.ts'
import { stderrLog } from '../../core/log.ts'
import type { Command } from '../command.ts'
import { startNetwork } from '../dev/network.ts'
import { overviewText } from '../dev/overview.ts'
import { publishSamples } from '../dev/publish-samples.ts'
import { showProgress } from '../dev/show-progress.ts'

const root = new URL('../..', import.meta.url).pathname

export const command: Command = {
  name: 'dev',
  summary: 'run a whole network on this machine and publish samples to it',
  details: [
    'Starts an Ethereum chain with ENS, a DNS server, an ACME CA, one CCN, two CRNs and the gateway, all on loopback.',
    'Each start begins with an empty state. Ctrl-C stops everything.',
  ].join('\n'),
  options: {
    check: { type: 'boolean', help: 'walk through the network as a client from outside, then stop' },
    only: {
      type: 'string',
      value: 'names',
      help: 'with --check: only checks whose name starts with one of these (comma)',
    },
    state: { type: 'string', value: 'folder', help: 'where the network writes (default .lastmile/dev)' },
    verbose: { type: 'boolean', help: 'show what the parts log' },
  },
  async run({ values }) {
    if (values.check) return runCheckSuite(values.only as string | undefined)
    const startedAt = performance.now()
    const progress = showProgress()
    await runUntilStopped(
      async () => {
        const network = await startNetwork({
          stateDir: resolve((values.state as string | undefined) ?? `${root}.lastmile/dev`),
          ports: 'usual',
          log: stderrLog(values.verbose ? 'debug' : 'error', 'text'),
          onProgress: progress.step,
        })
        progress.step('samples', 'starting')
        const samples = await publishSamples(network)
        progress.step('samples', 'ready')
        progress.end()
        process.stdout.write(overviewText(network, samples))
        process.stdout.write(
          `ready in ${((performance.now() - startedAt) / 1_000).toFixed(1)} s; Ctrl-C stops everything\n`,
        )
        return network
      },
      { onStopping: (why) => process.stderr.write(`stopping (${why}) ...\n`) },
    )
    process.stderr.write('stopped; nothing is left running\n')
    return 0
  },
}

/** The checks are a program of their own: a client from outside, which starts the same network. */
function runCheckSuite(only: string | undefined): Promise<number> {
  const args = [`${root}test/check/main.ts`, ...(only === undefined ? [] : ['--only', only])]
  const child = spawn(process.execPath, args, { stdio: 'inherit' })
  // The terminal sends Ctrl-C to both; the child stops its network, and we wait for it.
  process.on('SIGINT', () => {})
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  return new Promise((done) => child.once('exit', (code) => done(code ?? 1)))
}
