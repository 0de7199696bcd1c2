import type { Slot } from './measure/slot.ts'
import { type Estimate, estimate, isNoisy, median, roundRatios } from './measure/statistics.ts'
import type { Workload } from './workloads.ts'

/** Figures of one candidate. `cpuUs` is per request; for `idle` it is null and `kib` is memory per connection. */
export interface Figures {
  cpuUs: number | null
  kib?: number
  p50Ms?: number | null
  p99Ms?: number | null
  syscalls?: number | null
  resumedShare?: number
  /** Why no slot of it was valid. */
  void?: string
}

export interface WorkloadResult {
  ours: Figures
  peers: Record<string, Figures>
  /** Ours divided by the peer's, formed within rounds. */
  ratio: Record<string, Estimate>
  /** Peers whose ratios scatter too widely: interquartile range beyond 0.3 of the median. */
  noisy: string[]
  /** Valid rounds of ours. */
  rounds: number
  /** What the features cost, as a share of the bare engine. */
  featureTax?: Estimate
}

export interface Machine {
  cpu: string
  cores: number
  kernel: string
  node: string
  revision: string
  date: string
  /** Proxy on one core; origin and load on another. */
  pinned: boolean
  origin: string
  /** Load average of the last minute, at start and end. */
  load: [before: number, after: number]
  stealPercent: number
  rounds: number
  slotSeconds: number
  versions: Record<string, string>
  /** Peers that were asked for, and are not installed or did not start. */
  leftOut: string[]
}

export interface DataplaneResult {
  machine: Machine
  workloads: Record<string, WorkloadResult>
}

/** What was seen of each candidate, round by round, and its system calls per request. */
export interface Seen {
  slots: Slot[]
  syscalls?: number | undefined
}

/** Sums up one workload. @param seen - by candidate; `ours` must be there, `bare` may */
export function sumUp(workload: Workload, seen: ReadonlyMap<string, Seen>): WorkloadResult {
  const ours = seen.get('ours') as Seen
  const result: WorkloadResult = {
    ours: figures(workload, ours, true),
    peers: {},
    ratio: {},
    noisy: [],
    rounds: valid(ours).length,
  }
  for (const [name, other] of seen) {
    if (name === 'ours') continue
    const ratios = roundRatios(costs(ours), costs(other))
    if (name === 'bare') {
      // The tax is about CPU; memory of an idle connection is not what features cost.
      if (ratios.length > 0 && workload.name !== 'idle')
        result.featureTax = rounded(estimate(ratios.map((ratio) => ratio - 1)))
      continue
    }
    result.peers[name] = figures(workload, other, false)
    if (ratios.length === 0) continue
    result.ratio[name] = rounded(estimate(ratios))
    if (isNoisy(ratios)) result.noisy.push(name)
  }
  return result
}

function figures(workload: Workload, seen: Seen, isOurs: boolean): Figures {
  const slots = valid(seen)
  const cost = slots.length === 0 ? null : round(median(slots.map((slot) => slot.cost)))
  const idle = workload.name === 'idle'
  const shares = slots.flatMap(({ resumedShare }) => (resumedShare === undefined ? [] : [resumedShare]))
  const why = seen.slots.find((slot) => slot.void !== undefined)?.void
  return {
    cpuUs: idle ? null : cost,
    ...(idle && cost !== null ? { kib: cost } : {}),
    ...(isOurs || !idle
      ? { p50Ms: middle(slots.map((slot) => slot.p50Ms)), p99Ms: middle(slots.map((slot) => slot.p99Ms)) }
      : {}),
    ...(isOurs || seen.syscalls !== undefined
      ? { syscalls: seen.syscalls === undefined ? null : round(seen.syscalls) }
      : {}),
    ...(shares.length > 0 ? { resumedShare: round(median(shares)) } : {}),
    ...(slots.length === 0 ? { void: why ?? 'no slot ran' } : {}),
  }
}

type ValidSlot = Exclude<Slot, { void: string }>
const isValid = (slot: Slot): slot is ValidSlot => slot.void === undefined
const valid = (seen: Seen): ValidSlot[] => seen.slots.filter(isValid)
const costs = (seen: Seen): (number | undefined)[] => seen.slots.map((slot) => (isValid(slot) ? slot.cost : undefined))

function middle(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null)
  return known.length === 0 ? null : round(median(known))
}

const round = (value: number): number => Number(value.toPrecision(4))
const rounded = ({ median, low, high }: Estimate): Estimate => ({
  median: round(median),
  low: round(low),
  high: round(high),
})
