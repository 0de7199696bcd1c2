import type { GatewayConfig } from '../config.ts'
import { isGroup } from '../live-config.ts'

/** What a running gateway cannot change: its sockets and processes, and the zone that its certificates and names are made for. */
const fixed: readonly string[] = ['zone', 'workers', 'listen', 'admin'] satisfies (keyof GatewayConfig)[]

/** Room that a worker sets aside at its start; other sizes need new processes. */
const bornWith: readonly string[] = ['routes.sitesMax', 'routes.unknownMax', 'static.cacheBytesMax']

export interface ReloadPlan {
  /** Keys that cannot change; with any of them nothing is done. */
  refused: string[]
  /** The new configuration holds in full only once the workers have been replaced. */
  recycle: boolean
}

/** What a new configuration asks of a gateway that runs by another. @param processes - whether its workers can be replaced */
export function planReload(before: GatewayConfig, after: GatewayConfig, processes: boolean): ReloadPlan {
  const changed = changedKeys(before, after)
  const sizes = changed.filter((key) => isWithin(key, bornWith))
  const refused = changed.filter((key) => isWithin(key, fixed))
  return { refused: processes ? refused : [...refused, ...sizes], recycle: processes && sizes.length > 0 }
}

/** The dotted keys whose values differ. Lists and single values are compared as wholes. */
export function changedKeys(before: object, after: object, prefix = ''): string[] {
  const [old, fresh] = [before as Record<string, unknown>, after as Record<string, unknown>]
  const names = [...new Set([...Object.keys(old), ...Object.keys(fresh)])]
  return names.flatMap((name) => {
    const [a, b] = [old[name], fresh[name]]
    if (isGroup(a) && isGroup(b)) return changedKeys(a, b, `${prefix}${name}.`)
    return JSON.stringify(a) === JSON.stringify(b) ? [] : [prefix + name]
  })
}

function isWithin(key: string, groups: readonly string[]): boolean {
  return groups.some((group) => key === group || key.startsWith(`${group}.`))
}
