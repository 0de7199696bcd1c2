import type { WorkloadName } from './workloads.ts'

export interface Goal {
  workload: WorkloadName
  /** What the ratio is formed to; undefined for an absolute goal. */
  peer?: 'nginx' | 'http-proxy'
  /** At most this: a ratio, or KiB for `idle`. */
  max: number
}

/** The goals of the data plane with every feature on: medians of the ratios within rounds. */
export const goals: readonly Goal[] = [
  { workload: 'h1', peer: 'nginx', max: 1.4 },
  { workload: 'h1', peer: 'http-proxy', max: 0.15 },
  { workload: 'h2', peer: 'nginx', max: 1.1 },
  { workload: 'body1m', peer: 'nginx', max: 1.4 },
  { workload: 'post16k', peer: 'nginx', max: 1.3 },
  { workload: 'newconn', peer: 'nginx', max: 2.3 },
  { workload: 'tls', peer: 'nginx', max: 1.6 },
  { workload: 'handshake-full', peer: 'nginx', max: 1.4 },
  { workload: 'handshake-resumed', peer: 'nginx', max: 1.5 },
  { workload: 'websocket', peer: 'nginx', max: 1.5 },
  { workload: 'idle', max: 4 },
]

/** All features on against the engine with what can be switched off switched off, as a share: at most this. */
export const featureTaxMax = 0.15

/** "met", or by how much it was missed. */
export function verdict(value: number, max: number): string {
  if (value <= max) return 'met'
  return `missed by ${(((value - max) / max) * 100).toFixed(0)} %`
}
