import type { VirtualClock } from './virtual-clock.ts'

/** What a simulated host is and does. */
export interface HostModel {
  /** Requests that it works on at the same time; others wait in line. */
  slots: number
  /** Mean time to answer one request when nothing waits, milliseconds. Half of it is fixed, half exponential. */
  serviceMs: number
  /** Factor on `serviceMs` at a time. */
  slownessAt?(nowMs: number): number
  /** `refusing`: the process is gone; `silent`: it takes requests and never answers. */
  stateAt?(nowMs: number): 'up' | 'refusing' | 'silent'
  /** When `stateAt` changes; requests that are being worked on are lost at these times. */
  turnsMs?: readonly number[]
  /** Share of requests whose connection breaks half way. */
  failShare?: number
  /** The program does not run there at first: the first request starts it, which takes this long. */
  startMs?: number
}

/** How a request ended at a host. */
export type HostEnd = 'answered' | 'failed' | 'refused'

interface Work {
  end: (end: HostEnd) => void
  over: boolean
}

const roundTripMs = 0.5
/** Longest line; what comes beyond is refused, as by a full listen queue. */
const lineMax = 1_000

/** One simulated host: a line, some slots, and a life of its own. */
export class SimulatedHost {
  readonly model: HostModel
  starts = 0
  received = 0
  #running: boolean
  readonly #clock: VirtualClock
  readonly #float: () => number
  readonly #line: Work[] = []
  readonly #working = new Set<Work>()
  #busy = 0

  constructor(model: HostModel, clock: VirtualClock, float: () => number) {
    this.model = model
    this.#clock = clock
    this.#float = float
    this.#running = model.startMs === undefined
    for (const atMs of model.turnsMs ?? []) clock.at(atMs, () => this.#turn())
  }

  get running(): boolean {
    return this.#running
  }

  /** Sends a request. `end` is called once, or never when the host is silent. @returns gives the request up */
  send(end: (end: HostEnd) => void): () => void {
    this.received++
    const work: Work = { end, over: false }
    const refused = this.#state() === 'refusing' || this.#line.length >= lineMax
    if (refused) this.#clock.at(roundTripMs, () => finish(work, 'refused'))
    else {
      this.#line.push(work)
      this.#next()
    }
    return () => {
      work.over = true
    }
  }

  /** Whether a probe is answered. A silent host keeps it waiting. */
  async probe(timeoutMs: number): Promise<boolean> {
    const silent = this.#state() === 'silent'
    await this.#clock.sleep(silent ? timeoutMs : roundTripMs)
    return this.#state() === 'up'
  }

  #state(): 'up' | 'refusing' | 'silent' {
    return this.model.stateAt?.(this.#clock.monotonicMs()) ?? 'up'
  }

  /** The process died or came back: what it was working on is lost. While it is silent nobody is told. */
  #turn(): void {
    const lost = [...this.#line.splice(0), ...this.#working]
    this.#working.clear()
    this.#busy = 0
    if (this.#state() === 'silent') return
    for (const work of lost) finish(work, 'failed')
  }

  #next(): void {
    while (this.#busy < this.model.slots && this.#state() === 'up') {
      const work = this.#line.shift()
      if (!work) return
      if (work.over) continue
      this.#work(work)
    }
  }

  #work(work: Work): void {
    this.#busy++
    this.#working.add(work)
    const { serviceMs, slownessAt, failShare = 0 } = this.model
    const slowness = slownessAt?.(this.#clock.monotonicMs()) ?? 1
    const ms = slowness * serviceMs * (0.5 - 0.5 * Math.log(1 - this.#float()))
    const fails = this.#float() < failShare
    this.#clock.at(this.#startMs() + (fails ? ms / 2 : ms) + roundTripMs, () => {
      // Lost with the process meanwhile.
      if (!this.#working.delete(work)) return
      this.#busy--
      finish(work, fails ? 'failed' : 'answered')
      this.#next()
    })
  }

  #readyAtMs = 0

  /** What is left of the start of the program. */
  #startMs(): number {
    const nowMs = this.#clock.monotonicMs()
    if (!this.#running && this.starts === 0) {
      this.starts++
      this.#readyAtMs = nowMs + (this.model.startMs ?? 0)
      this.#clock.at(this.model.startMs ?? 0, () => {
        this.#running = true
      })
    }
    return Math.max(0, this.#readyAtMs - nowMs)
  }
}

function finish(work: Work, end: HostEnd): void {
  if (work.over) return
  work.over = true
  work.end(end)
}
