import { parseArgs } from 'node:util'
import type { GatewaySetup } from './gateway-program.ts'
import { processTree, residentBytes } from './measure/process-tree.ts'
import { type Program, startProgram } from './programs.ts'
import { openSite, programFile, servesPort } from './site.ts'
import { SoakHosts } from './soak/hosts.ts'
import { isFlat, slope } from './soak/judge.ts'
import { type SoakCounts, SoakTally } from './soak/tally.ts'
import { findAbilities, Traffic } from './soak/traffic.ts'
import { uniquePort } from './unique-port.ts'

const usage = `Usage: npm run -s bench -- soak [--minutes N] [--json]

Mixed traffic through the gateway for N minutes (default 10) while hosts are killed and the gateway is reloaded. Every byte is compared.
Ends with 1 when a byte was wrong, an error has no explanation, or memory grew.
`

export interface SoakResult extends SoakCounts {
  minutes: number
  hostsKilled: number
  reloads: number
  /** Kinds of clients that the gateway does not serve. */
  leftOut: string[]
  rssMiB: number[]
  rssMiBPerMinute: number
  /** null: too short to tell. */
  rssFlat: boolean | null
  ok: boolean
}

const hostCount = 3
/** Longer runs do not reload or kill more rarely than this; short ones do both twice. */
const [reloadMs, killMs] = [5_000, 8_000]
const deadMs = 1_500
const samplesPerMinute = 12
const lastWordsChars = 2_000
/** A week. */
const minutesMax = 10_080

/** `bench soak`. @returns 0 when all is well, 1 when not, 2 for wrong options */
export async function run(argv: readonly string[]): Promise<number> {
  const values = parse(argv)
  const minutes = Number(values?.minutes)
  if (!values || values.help || !(minutes > 0 && minutes <= minutesMax)) {
    process.stderr.write(usage)
    return values?.help ? 0 : 2
  }
  const result = await soak(minutes)
  process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : summary(result))
  return result.ok ? 0 : 1
}

function parse(argv: readonly string[]): { minutes: string; json?: boolean; help?: boolean } | undefined {
  const options = {
    minutes: { type: 'string', default: '10' },
    json: { type: 'boolean' },
    help: { type: 'boolean' },
  } as const
  try {
    return parseArgs({ args: [...argv], options }).values
  } catch {
    return undefined
  }
}

/** Runs the whole of it. */
export async function soak(minutes: number): Promise<SoakResult> {
  await using site = await openSite({ origin: 'own' })
  await using hosts = await SoakHosts.start(hostCount)
  const setup: GatewaySetup = {
    httpPort: await uniquePort(),
    httpsPort: await uniquePort(),
    adminPort: 0,
    origins: hosts.origins,
    certificateFile: site.certificateFile,
    keyFile: site.keyFile,
    nameTtlMs: 1_000,
  }
  await using gateway = await startProgram({
    name: 'gateway',
    command: process.execPath,
    args: [programFile('gateway-program.ts'), JSON.stringify(setup)],
    side: 'proxy',
    ready: servesPort(setup.httpPort, setup.httpsPort),
  })
  const tally = new SoakTally(hosts.killedAt)
  const { scenarios, leftOut } = await findAbilities(setup)
  const traffic = new Traffic(setup, scenarios, (outcome) => tally.add(outcome))
  const samples: number[] = []
  const ms = minutes * 60_000
  let reloads = 0
  const loops = [
    every(Math.min(reloadMs, ms / 3), ms, () => reload(gateway, () => reloads++)),
    every(Math.min(killMs, ms / 3), ms, () => hosts.killNext(Math.min(deadMs, ms / 6))),
    every(60_000 / samplesPerMinute, ms, () => void samples.push(residentBytes(processTree(gateway.pid)))),
  ]
  await Promise.all(loops)
  await traffic.stop()
  const flat = isFlat(samples, minutes)
  if (!tally.isClean)
    process.stderr.write(`The gateway's last words:\n${gateway.output().slice(-lastWordsChars) || '(none)'}\n`)
  return {
    minutes,
    ...tally.counts,
    hostsKilled: hosts.killedAt.length,
    reloads,
    leftOut,
    rssMiB: samples.filter((_, at) => at % samplesPerMinute === 0).map(inMiB),
    rssMiBPerMinute: inMiB(slope(samples) * samplesPerMinute),
    rssFlat: flat ?? null,
    ok: tally.isClean && flat !== false,
  }
}

/** Runs a task again and again, the pauses counted from its start; ends when the time is over and the task is done. */
async function every(pauseMs: number, totalMs: number, task: () => void | Promise<void>): Promise<void> {
  const startedAt = performance.now()
  for (let turn = 1; turn * pauseMs < totalMs; turn++) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, startedAt + turn * pauseMs - performance.now())))
    await task()
  }
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, startedAt + totalMs - performance.now())))
}

function reload(gateway: Program, count: () => void): void {
  try {
    process.kill(gateway.pid, 'SIGHUP')
    count()
  } catch {
    // The gateway has died. The clients report that, each in its own words.
  }
}

const inMiB = (bytes: number): number => Number((bytes / 1_048_576).toFixed(1))

function summary(result: SoakResult): string {
  const memory = result.rssFlat === null ? 'too short a run to tell' : result.rssFlat ? 'flat' : 'GROWS'
  return [
    `${result.ok ? 'ok' : 'FAILED'}: ${result.requests} exchanges, ${(result.bytes / 1_048_576).toFixed(0)} MiB in ${result.minutes} minutes`,
    `wrong bytes: ${result.wrongBytes}; errors without explanation: ${result.unexplainedErrors}; explained: ${result.explainedErrors}`,
    ...Object.entries(result.problems).map(([text, count]) => `  ${count} times: ${text}`),
    `hosts killed: ${result.hostsKilled}; reloads: ${result.reloads}`,
    `memory, MiB each minute: ${result.rssMiB.join(' ')}; ${result.rssMiBPerMinute} MiB per minute: ${memory}`,
    ...Object.entries(result.scenarios).map(([name, count]) => `  ${String(count).padStart(8)}  ${name}`),
    ...result.leftOut.map((what) => `left out, since the gateway does not offer it: ${what}`),
    '',
  ].join('\n')
}
