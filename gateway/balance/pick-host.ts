/** What the choice of a host rests on: plain values, gathered by the caller. */
export interface HostView {
  id: string
  /** 0 to 1. */
  uptime: number
  /** Runs the program now. */
  running: boolean
  /** Requests of ours that it is answering. */
  inFlight: number
  /** Moving average of the time to its first byte, milliseconds; undefined before the first answer. */
  latencyMs: number | undefined
  /** Taken out of use after failures. */
  ejected: boolean
  /** Said that it has no room for this program. */
  full: boolean
}

export interface PickOptions {
  /** Decides among cold hosts: the same program always tries the same one first, so that it is not started twice. */
  key: string
  /** Uptimes that differ by less count as equal. */
  uptimeMargin: number
  /** Uniform in [0, 1). */
  float: () => number
}

/**
 * Chooses the host for a request. A host that runs the program beats one that would have to start it; then the better uptime; among
 * near-equals the less loaded of two drawn at random (power of two choices). When every host is ejected, one is tried all the same:
 * a wrong verdict must not take a site down.
 *
 * @returns undefined when there is no host, or all are full
 */
export function pickHost<Host extends HostView>(hosts: readonly Host[], options: PickOptions): Host | undefined {
  const withRoom = hosts.filter((host) => !host.full)
  const healthy = withRoom.filter((host) => !host.ejected)
  const usable = healthy.length > 0 ? healthy : withRoom
  const warm = usable.filter((host) => host.running)
  const tier = warm.length > 0 ? warm : usable
  const best = Math.max(...tier.map((host) => host.uptime))
  const equals = tier.filter((host) => best - host.uptime <= options.uptimeMargin)
  return warm.length > 0 ? lessLoadedOfTwo(equals, options.float) : highestRanked(equals, options.key)
}

function lessLoadedOfTwo<Host extends HostView>(hosts: readonly Host[], float: () => number): Host | undefined {
  if (hosts.length < 2) return hosts[0]
  const first = Math.floor(float() * hosts.length)
  const second = (first + 1 + Math.floor(float() * (hosts.length - 1))) % hosts.length
  const [a, b] = [hosts[first] as Host, hosts[second] as Host]
  return load(b) < load(a) ? b : a
}

/** Expected wait: requests ahead times the time each takes. A host not yet measured counts as quick, so that it gets measured. */
function load(host: HostView): number {
  return (host.inFlight + 1) * Math.max(1, host.latencyMs ?? 1)
}

/** Rendezvous hashing: stable for a program, spread over hosts, and little moves when a host comes or goes. */
function highestRanked<Host extends HostView>(hosts: readonly Host[], key: string): Host | undefined {
  let found: Host | undefined
  let rank = -1
  for (const host of hosts) {
    const own = hash(`${key}\n${host.id}`)
    if (own > rank || (own === rank && found !== undefined && host.id < found.id)) [found, rank] = [host, own]
  }
  return found
}

/** FNV-1a with a final mix; only evenness matters here. */
function hash(text: string): number {
  let state = 0x811c9dc5
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193)
  state = Math.imul(state ^ (state >>> 16), 0x85ebca6b)
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35)
  return (state ^ (state >>> 16)) >>> 0
}
