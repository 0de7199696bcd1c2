/**
 * Measures a compute host on this machine: `node node/crn/cold-start.bench.ts [--hypervisor uml|fake] [--runs 10] [--json]`.
 * All times are milliseconds seen by a client on loopback HTTP.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import os, { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { systemClock } from '../../core/clock.ts'
import { onDispose } from '../../core/lifecycle.ts'
import { stderrLog } from '../../core/log.ts'
import { createMetrics } from '../../core/metrics.ts'
import { systemRandom } from '../../core/random.ts'
import { crnConfigSchema } from './config.ts'
import { startCrn } from './crn.ts'
import { selectHypervisor } from './hypervisor/select.ts'
import { createTableNetwork, filesOf } from './table-network.ts'

const samples = join(import.meta.dirname, '../../cli/dev/samples')
const warmRequests = 300

interface Row {
  what: string
  runtime: string
  n: number
  p50: number
  p99: number
  min: number
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      hypervisor: { type: 'string', default: 'uml' },
      runs: { type: 'string', default: '10' },
      json: { type: 'boolean' },
    },
  })
  const runs = Number(values.runs)
  const stateDir = mkdtempSync(join(tmpdir(), 'lastmile-bench-'))
  await using stack = new AsyncDisposableStack()
  stack.use(onDispose(() => rmSync(stateDir, { recursive: true, force: true })))
  const config = crnConfigSchema.parse({
    listen: { port: 0 },
    stateDir,
    guestDir: join(import.meta.dirname, '../../.lastmile/guest'),
    hypervisor: values.hypervisor,
    vmsMax: 200,
    evictIdleMs: 0,
    memoryMibMax: 200 * 256,
  })
  const ports = { clock: systemClock, random: systemRandom, log: stderrLog('warn', 'text'), metrics: createMetrics() }
  const network = createTableNetwork()
  const hypervisor = await selectHypervisor(config, ports)
  const crn = stack.use(await startCrn(config, { ...ports, network, hypervisor }))
  const rows: Row[] = []
  for (const [runtime, entrypoint] of [
    ['python', 'main:app'],
    ['node', 'server.mjs'],
  ] as const) {
    const files = filesOf(join(samples, runtime))
    let serial = 0
    const publish = (version: string): string =>
      network.addProgram(`${runtime}-${serial++}`, entrypoint, { ...files, VERSION: version })
    const coldOnce = async (version: string): Promise<number> => {
      const hash = publish(version)
      await poolReady(crn.url)
      return ask(crn.url, `/vm/${hash}/`)
    }
    const shared = publish('shared')
    await poolReady(crn.url)
    await ask(crn.url, `/vm/${shared}/`) // puts the code on disk
    rows.push(row('cold, code on disk', runtime, await repeat(runs, () => coldOnce('shared'))))
    rows.push(row('cold, code absent', runtime, await repeat(runs, (run) => coldOnce(`own ${run}`))))
    await poolReady(crn.url)
    rows.push(row('warm', runtime, await repeat(warmRequests, () => ask(crn.url, `/vm/${shared}/`))))
    rows.push(row('boot to waiting zygote', runtime, bootTimes(await ports.metrics.text(), runtime)))
  }
  if (values.json) console.log(JSON.stringify(rows))
  else print(rows)
}

/** Waits until every pool is full, so that no boot competes with what is measured. */
async function poolReady(url: string): Promise<void> {
  for (;;) {
    const { pools } = (await (await fetch(`${url}/about/capability`)).json()) as {
      pools: Record<string, { ready: number; wanted: number }>
    }
    if (Object.values(pools).every(({ ready, wanted }) => ready >= wanted)) break
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await new Promise((resolve) => setTimeout(resolve, 300))
}

const agent = new http.Agent({ keepAlive: true })

function ask(url: string, path: string): Promise<number> {
  const startedAt = performance.now()
  return new Promise((resolve, reject) => {
    const request = http.get(url + path, { agent }, (response) => {
      response.resume()
      response.on('end', () => {
        if (response.statusCode === 200) resolve(performance.now() - startedAt)
        else reject(new Error(`${path} answered ${response.statusCode}`))
      })
    })
    request.on('error', reject)
  })
}

async function repeat(count: number, work: (run: number) => Promise<number>): Promise<number[]> {
  const times: number[] = []
  for (let run = 0; run < count; run++) times.push(await work(run))
  return times
}

/** The mean is all that the histogram keeps exactly. */
function bootTimes(text: string, runtime: string): number[] {
  const value = (name: string): number =>
    Number(new RegExp(`^crn_boot_seconds_${name}{runtime="${runtime}"} (.*)$`, 'm').exec(text)?.[1])
  return [(value('sum') / value('count')) * 1_000]
}

function row(what: string, runtime: string, times: readonly number[]): Row {
  const sorted = [...times].sort((a, b) => a - b)
  const at = (share: number): number =>
    Math.round((sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] as number) * 100) / 100
  return { what, runtime, n: times.length, p50: at(0.5), p99: at(0.99), min: at(0.001) }
}

function print(rows: readonly Row[]): void {
  console.log(
    `Load average ${os
      .loadavg()
      .map((load) => load.toFixed(1))
      .join(' ')} on ${os.cpus().length} processors. Milliseconds.`,
  )
  console.table(Object.fromEntries(rows.map(({ what, runtime, ...figures }) => [`${runtime}: ${what}`, figures])))
}

await main()
