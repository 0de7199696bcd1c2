import { expectedMs, type Measured } from './latency.ts'
import { rendezvousRank, rendezvousScore } from './rendezvous.ts'
import { slowStartShare } from './slow-start.ts'
import { ownZoneShare } from './zone-share.ts'

/** What is known of a host whatever the program. */
export interface HostLoad {
  readonly id: string
  /** Hash of the id. */
  readonly hash: number
  /** Requests of ours that wait for the first byte. */
  readonly waiting: number
  /** Requests of ours whose answers flow, event streams and WebSockets among them. */
  readonly flowing: number
  /** An operator wants it to get no new requests. */
  readonly draining: boolean
  /** Since when it is usable, monotonic milliseconds like all times here. */
  readonly upSinceMs: number
}

/** A host as seen by one program: what the choice rests on. */
export interface HostView extends Measured {
  readonly host: HostLoad
  /** 0 to 1. */
  readonly uptime: number
  /** By uptime, relative to the best of the list: above 0, at most 1 (`uptimeWeight`). */
  readonly weight: number
  /** Rendezvous rank for this program. */
  readonly rank: number
  /** In the zone of this gateway, or zones do not matter. */
  readonly near: boolean
  /** The list says that it wants no new requests. */
  readonly draining: boolean
  /** Runs the program, as the list says. */
  readonly running: boolean
  /** Until when it counts as running the program because it has answered. */
  readonly warmUntilMs: number
  /** Until when it is left alone because it said that it has no room. */
  readonly fullUntilMs: number
  /** Out of use after failures. */
  readonly out: boolean
  /** Share of recent attempts that failed. */
  readonly failShare: number
  /** Since when the program knows it. */
  readonly sinceMs: number
}

/** Limits of the choice; keys of the configuration. */
export interface PickSettings {
  readonly uptimeMargin: number
  readonly latencyHalfLifeMs: number
  readonly slowStartMs: number
  readonly spillInFlight: number
  readonly coldStartMs: number
}

export interface PickOptions {
  readonly settings: PickSettings
  readonly nowMs: number
  /** Average time to the first byte over the hosts of the program, milliseconds. */
  readonly typicalMs: number
  /** Ids of hosts that are not to be taken: they have had this request. */
  readonly tried: readonly string[]
  /** Hash of what the caller wants on one host; undefined when any will do. */
  readonly affinity: number | undefined
  /** Uniform in [0, 1). */
  readonly float: () => number
}

const none = 0
/** Runs the program and is in the own zone. */
const near = 1
/** Runs the program, in another zone. */
const far = 2
/** Would have to start the program. */
const cold = 3
/** Out of use, or hanging in a start. */
const out = 4

/** An answer that only flows takes this much of what a waiting request takes. */
const flowingLoad = 0.1
/**
 * What a request adds to the load it meets. A host works on several at once, so that the second does not take twice as long as the first:
 * with 1, a host five times as slow got 1 % of the traffic of hosts that were far from busy; with more than 4 unlike hosts fill unevenly.
 */
const baseLoad = 3
/** A host that fails a tenth of its requests counts as twice as slow: a failure costs the client more than a wait. */
const failureCost = 10

// Scratch memory of one choice: a choice is synchronous, so that none begins within another.
let kinds = new Uint8Array(32)
let draws = new Float64Array(32)
const counts = new Int32Array(5)

/**
 * Chooses the host for a request.
 *
 * A host that runs the program beats one that would have to start it, and the own zone beats others while enough of it is healthy. Of two
 * hosts drawn at random the one with the shorter expected wait is taken (power of two choices): requests ahead times the time each takes,
 * dearer with a worse uptime and with failures. Hosts new or back take part in a growing share of the choices. Cold hosts are taken by
 * rendezvous among the best uptimes, so that everybody starts a program on the same one. Past `spillInFlight` waiting requests the next
 * kind is considered too. With `affinity` the host is chosen by rendezvous in place of the draw.
 *
 * Hosts that are full, draining or tried are never taken. When all others are out of use, one is tried all the same: a wrong verdict must
 * not take a site down.
 *
 * @returns index into `hosts`, or -1 when none is left
 */
export function pickHost(hosts: readonly HostView[], options: PickOptions): number {
  const nearTotal = sort(hosts, options)
  const nearUp = counts[near] as number
  const farUp = counts[far] as number
  if (nearUp + farUp === 0) {
    if ((counts[cold] as number) > 0) return bestCold(hosts, options)
    return (counts[out] as number) > 0 ? lessLoadedOfTwo(hosts, out, options) : -1
  }
  if (options.affinity !== undefined) return highestScored(hosts, nearUp > 0 ? near : far, options.affinity)
  const kind = nearUp > 0 && (farUp === 0 || options.float() < ownZoneShare(nearUp, nearTotal)) ? near : far
  const picked = lessLoadedOfTwo(hosts, kind, options)
  return load(hosts[picked] as HostView) < options.settings.spillInFlight ? picked : spill(hosts, kind, picked, options)
}

/** Notes the kind of each host in `kinds` and how many there are in `counts`. @returns running hosts of the own zone, usable or not */
function sort(hosts: readonly HostView[], options: PickOptions): number {
  if (kinds.length < hosts.length) {
    kinds = new Uint8Array(hosts.length * 2)
    draws = new Float64Array(hosts.length * 2)
  }
  counts.fill(0)
  let nearTotal = 0
  for (let i = 0; i < hosts.length; i++) {
    const host = hosts[i] as HostView
    const kind = kindOf(host, options)
    kinds[i] = kind
    counts[kind] = (counts[kind] as number) + 1
    if (host.near && !host.draining && !host.host.draining && isRunning(host, options.nowMs)) nearTotal++
  }
  return nearTotal
}

function kindOf(host: HostView, { nowMs, tried, settings }: PickOptions): number {
  if (host.draining || host.host.draining || host.fullUntilMs > nowMs) return none
  if (tried.length > 0 && tried.includes(host.host.id)) return none
  if (host.out) return out
  if (isRunning(host, nowMs)) return host.near ? near : far
  return host.waiting > 0 && nowMs - host.waitingSinceMs > settings.coldStartMs ? out : cold
}

function isRunning(host: HostView, nowMs: number): boolean {
  return host.running || host.warmUntilMs > nowMs
}

/** The picked host is overrun: hosts of the other zone, then one that has to start the program, are taken if they carry less than half. */
function spill(hosts: readonly HostView[], kind: number, picked: number, options: PickOptions): number {
  const half = load(hosts[picked] as HostView) / 2
  const other = kind === near ? far : near
  if ((counts[other] as number) > 0) {
    const found = lessLoadedOfTwo(hosts, other, options)
    if (load(hosts[found] as HostView) < half) return found
  }
  if ((counts[cold] as number) === 0) return picked
  const found = bestCold(hosts, options)
  return load(hosts[found] as HostView) < half ? found : picked
}

/** Power of two choices among the hosts of a kind, of which there is one at least. */
function lessLoadedOfTwo(hosts: readonly HostView[], kind: number, options: PickOptions): number {
  const total = weigh(hosts, kind, options)
  const first = draw(hosts.length, total, options)
  const rest = total - (draws[first] as number)
  // What rounding leaves of a total is no host.
  if (rest <= total * 1e-9) return first
  draws[first] = 0
  const second = draw(hosts.length, rest, options)
  return cost(hosts[second] as HostView, options) < cost(hosts[first] as HostView, options) ? second : first
}

/**
 * Fills `draws` with the weights of the hosts of a kind, 0 for those that sit out: a host in its slow start takes part in a share of the
 * choices only, in proportion to the furthest of its kind. @returns their sum, above 0
 */
function weigh(hosts: readonly HostView[], kind: number, options: PickOptions): number {
  let furthest = 0
  for (let i = 0; i < hosts.length; i++) {
    if (kinds[i] === kind) furthest = Math.max(furthest, shareOf(hosts[i] as HostView, options))
  }
  let total = 0
  for (let i = 0; i < hosts.length; i++) {
    let weight = 0
    if (kinds[i] === kind) {
      const host = hosts[i] as HostView
      const share = shareOf(host, options)
      if (share === furthest || options.float() * furthest < share) weight = host.weight
    }
    draws[i] = weight
    total += weight
  }
  return total
}

function shareOf(host: HostView, { nowMs, settings }: PickOptions): number {
  return slowStartShare(Math.max(host.sinceMs, host.host.upSinceMs), nowMs, settings.slowStartMs)
}

/** Index drawn with the weights in `draws`, whose sum is `total`. */
function draw(length: number, total: number, options: PickOptions): number {
  let left = options.float() * total
  let last = -1
  for (let i = 0; i < length; i++) {
    const weight = draws[i] as number
    if (weight === 0) continue
    last = i
    left -= weight
    if (left < 0) break
  }
  return last
}

function load({ host }: HostView): number {
  return host.waiting + flowingLoad * host.flowing
}

/** Expected wait of one more request, milliseconds in spirit: only comparisons mean something. */
function cost(host: HostView, { nowMs, typicalMs, settings }: PickOptions): number {
  const ms = expectedMs(host, nowMs, typicalMs, settings.latencyHalfLifeMs)
  return ((load(host) + baseLoad) * ms * (1 + failureCost * host.failShare)) / host.weight
}

/** Among cold hosts, own zone first, then near-equals of the best uptime: the one that ranks highest for the program. */
function bestCold(hosts: readonly HostView[], { settings }: PickOptions): number {
  let anyNear = false
  let best = -1
  for (let i = 0; i < hosts.length; i++) {
    if (kinds[i] !== cold) continue
    const host = hosts[i] as HostView
    if (host.near && !anyNear) {
      anyNear = true
      best = -1
    }
    if (host.near === anyNear) best = Math.max(best, host.uptime)
  }
  let found = -1
  for (let i = 0; i < hosts.length; i++) {
    if (kinds[i] !== cold) continue
    const host = hosts[i] as HostView
    if (host.near !== anyNear || best - host.uptime > settings.uptimeMargin) continue
    if (found < 0 || ranksBefore(host, hosts[found] as HostView)) found = i
  }
  return found
}

function ranksBefore(a: HostView, b: HostView): boolean {
  return a.rank > b.rank || (a.rank === b.rank && a.host.id < b.host.id)
}

/** Weighted rendezvous: a key stays with its host while that can be used, and goes to the next in rank when it cannot. */
function highestScored(hosts: readonly HostView[], kind: number, key: number): number {
  let found = -1
  let best = -1
  for (let i = 0; i < hosts.length; i++) {
    if (kinds[i] !== kind) continue
    const host = hosts[i] as HostView
    const score = rendezvousScore(rendezvousRank(key, host.host.hash), host.weight)
    if (score < best || (score === best && host.host.id > (hosts[found] as HostView).host.id)) continue
    best = score
    found = i
  }
  return found
}
