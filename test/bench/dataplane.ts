import { mkdirSync, writeFileSync } from 'node:fs'
import { bare, baselines, ours, servers } from './candidates/all-candidates.ts'
import { type RunningCandidate, startCandidate } from './candidates/candidate.ts'
import { revision } from './candidates/ours.ts'
import { generatorOf, generatorVersions } from './generators/run-load.ts'
import { installPeers } from './install-peers.ts'
import { runIdleSlot } from './measure/idle.ts'
import { describeHardware, loadAverage, readTicks, stealPercent } from './measure/machine.ts'
import { reason, runSlot, type Slot, warmUp } from './measure/slot.ts'
import { countSyscalls } from './measure/syscalls.ts'
import { BenchUsageError, type DataplaneOptions, dataplaneUsage, parseDataplaneOptions } from './options.ts'
import { canPin } from './programs.ts'
import { chart } from './report/chart.ts'
import { markdown } from './report/markdown.ts'
import { type DataplaneResult, type Machine, type Seen, sumUp } from './results.ts'
import { openSite, type Site } from './site.ts'
import { type Workload, workloads } from './workloads.ts'

/** Memory scatters less than time, and each of its rounds starts a process and opens thousands of connections. */
const idleRoundsMax = 3

const say = (text: string): void => void process.stderr.write(`${text}\n`)

/** `bench dataplane`. @returns 0; 1 when a workload has no valid slot of ours; 2 for wrong options */
export async function run(argv: readonly string[]): Promise<number> {
  let options: DataplaneOptions | 'help'
  try {
    options = parseDataplaneOptions(argv)
  } catch (error) {
    if (!(error instanceof BenchUsageError)) throw error
    say(`bench dataplane: ${error.message}\n\n${dataplaneUsage}`)
    return 2
  }
  if (options === 'help') {
    process.stdout.write(dataplaneUsage)
    return 0
  }
  if (options.installPeers) await installPeers(options.peers, say)
  const result = await measureDataplane(options)
  const text = options.json ? JSON.stringify(result) : markdown(result)
  process.stdout.write(`${text}\n`)
  if (options.write) writeReport(result)
  return Object.values(result.workloads).every(({ ours }) => ours.void === undefined) ? 0 : 1
}

/** Starts all candidates once, then runs workload after workload, in rounds A B C ... A B C. */
export async function measureDataplane(options: DataplaneOptions): Promise<DataplaneResult> {
  const [ticks, load] = [readTicks(), loadAverage()]
  const peers = [...servers, ...baselines].filter(({ name }) => [...options.peers, ...options.baselines].includes(name))
  const installed = peers.filter((peer) => peer.version() !== undefined)
  const candidates = [ours, ...(options.tax ? [bare] : []), ...installed]
  const notInstalled = peers.filter((peer) => !installed.includes(peer)).map(({ name }) => name)
  for (const name of notInstalled) say(`${name} is not installed and is left out (--install-peers gets it)`)
  if (!canPin()) say('proxy and load share all cores: there is one only, or taskset is missing')
  await using stack = new AsyncDisposableStack()
  const site = stack.use(await openSite(options.ownLoad ? { origin: 'own' } : {}))
  const running: RunningCandidate[] = []
  const notStarted: string[] = []
  for (const candidate of candidates) {
    say(`starting ${candidate.name} ${candidate.version()}`)
    try {
      running.push(stack.use(await startCandidate(candidate, site)))
    } catch (error) {
      // A peer that does not run here is no reason not to measure the others.
      if (candidate === ours) throw error
      notStarted.push(candidate.name)
      say(`${candidate.name} is left out: ${reason(error)}`)
    }
  }
  const measured: DataplaneResult['workloads'] = {}
  for (const workload of workloads.filter(({ name }) => options.workloads.includes(name))) {
    measured[workload.name] = sumUp(workload, await measure(workload, running, site, options))
  }
  const machine: Machine = {
    ...describeHardware(),
    revision: revision(),
    date: new Date().toISOString(),
    pinned: canPin(),
    origin: site.originKind,
    load: [load, loadAverage()],
    stealPercent: stealPercent(ticks, readTicks()),
    rounds: options.rounds,
    slotSeconds: options.ms / 1_000,
    versions: {
      ...Object.fromEntries(installed.map((peer) => [peer.name, peer.version() as string])),
      ...(options.ownLoad ? {} : generatorVersions()),
    },
    leftOut: [...notInstalled, ...notStarted],
  }
  return { machine, workloads: measured }
}

async function measure(
  workload: Workload,
  running: readonly RunningCandidate[],
  site: Site,
  options: DataplaneOptions,
): Promise<Map<string, Seen>> {
  const able = running.filter(({ candidate }) => !candidate.lacks.includes(workload.name))
  const seen = new Map<string, Seen>(able.map(({ candidate }) => [candidate.name, { slots: [] }]))
  const isIdle = workload.name === 'idle'
  say(`${workload.name} (${generatorOf(workload, options.ownLoad)})`)
  if (!isIdle) for (const each of able) await warmUp(workload, each, site, options)
  const rounds = isIdle ? Math.min(options.rounds, idleRoundsMax) : options.rounds
  for (let round = 1; round <= rounds; round++) {
    for (const each of able) {
      const { name } = each.candidate
      const slot = await (isIdle
        ? runIdleSlot(workload, each.candidate, site, options)
        : runSlot(workload, each, site, options))
      seen.get(name)?.slots.push(slot)
      say(`  ${round}/${rounds} ${name.padEnd(10)} ${slotLine(workload, slot)}`)
      if (slot.void !== undefined && each.output() !== '')
        say(`    it printed last: ${reason(each.output().slice(-200))}`)
    }
  }
  if (isIdle) return seen
  for (const each of able.filter(({ candidate }) => ['ours', 'nginx'].includes(candidate.name))) {
    const entry = seen.get(each.candidate.name) as Seen
    if (entry.slots.some((slot) => slot.void === undefined))
      entry.syscalls = await countSyscalls(workload, each, site, options)
  }
  return seen
}

function slotLine(workload: Workload, slot: Slot): string {
  if (slot.void !== undefined) return `void: ${slot.void}`
  const unit = workload.name === 'idle' ? 'KiB' : 'us CPU'
  return `${slot.cost.toFixed(1)} ${unit} per ${workload.per}`
}

function writeReport(result: DataplaneResult): void {
  const folder = new URL('../../docs/performance/', import.meta.url).pathname
  mkdirSync(folder, { recursive: true })
  writeFileSync(`${folder}data-plane.md`, `${markdown(result, { chart: 'data-plane.svg' })}\n`)
  writeFileSync(`${folder}data-plane.svg`, chart(result))
  say(`written: docs/performance/data-plane.md and data-plane.svg`)
}
