import type { HostModel } from './host-model.ts'

/** A world to choose hosts in. */
export interface Scenario {
  name: string
  text: string
  hosts: HostModel[]
  /** Index of the host that is in trouble. */
  bad?: number
  /** Requests per second at a share (0 to 1) of the run. */
  rateAt(progress: number): number
  /** A host is slow, dying or flapping: what balancing is for. */
  hostTrouble: boolean
}

const good: HostModel = { slots: 8, serviceMs: 20 }
/** Five such hosts answer 2000 requests a second at most; four of them are busy to three quarters. */
const steady = (): number => 1_200
const four = [good, good, good, good]

/** Every scenario for a run of `runMs`. Trouble begins after a quarter of it. */
export function scenarios(runMs: number): Scenario[] {
  const troubleMs = runMs / 4
  const dying = (state: 'refusing' | 'silent'): HostModel => ({
    ...good,
    stateAt: (nowMs) => (nowMs < troubleMs ? 'up' : state),
    turnsMs: [troubleMs],
  })
  const flapMs = 10_000
  const flapping = (state: 'refusing' | 'silent'): HostModel => ({
    ...good,
    stateAt: (nowMs) => (Math.floor(nowMs / flapMs) % 2 === 0 ? 'up' : state),
    turnsMs: Array.from({ length: Math.ceil(runMs / flapMs) }, (_, i) => (i + 1) * flapMs),
  })
  return [
    { name: 'equal', text: 'five equal hosts', hosts: [...four, good], rateAt: steady, hostTrouble: false },
    {
      name: 'slow',
      text: 'one host becomes five times as slow',
      hosts: [...four, { ...good, slownessAt: (nowMs) => (nowMs < troubleMs ? 1 : 5) }],
      bad: 4,
      rateAt: steady,
      hostTrouble: true,
    },
    {
      name: 'refusing',
      text: 'one host dies: connections are refused',
      hosts: [...four, dying('refusing')],
      bad: 4,
      rateAt: steady,
      hostTrouble: true,
    },
    {
      name: 'silent',
      text: 'one host stops answering',
      hosts: [...four, dying('silent')],
      bad: 4,
      rateAt: steady,
      hostTrouble: true,
    },
    {
      name: 'flapping',
      text: 'one host is up for 10 s, gone for 10 s',
      hosts: [...four, flapping('refusing')],
      bad: 4,
      rateAt: steady,
      hostTrouble: true,
    },
    {
      name: 'flapping-silent',
      text: 'one host is up for 10 s, silent for 10 s',
      hosts: [...four, flapping('silent')],
      bad: 4,
      rateAt: steady,
      hostTrouble: true,
    },
    {
      name: 'failing',
      text: 'one host breaks off 40 % of its answers',
      hosts: [...four, { ...good, failShare: 0.4 }],
      bad: 4,
      rateAt: steady,
      hostTrouble: true,
    },
    {
      name: 'unlike',
      text: 'hosts of 2, 4, 8, 8 and 16 slots',
      hosts: [2, 4, 8, 8, 16].map((slots) => ({ ...good, slots })),
      bad: 0,
      rateAt: steady,
      hostTrouble: false,
    },
    {
      name: 'cold',
      text: 'the program runs nowhere at first; a start takes 1.5 s',
      hosts: [...four, good].map((host) => ({ ...host, startMs: 1_500 })),
      rateAt: () => 200,
      hostTrouble: false,
    },
    {
      name: 'overload',
      text: 'load grows from 40 % to 120 % of what the hosts can do',
      hosts: [...four, good],
      rateAt: (progress) => 2_000 * (0.4 + 0.8 * progress),
      hostTrouble: false,
    },
  ]
}
