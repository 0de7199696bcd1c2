import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../../../core/clock.ts'

interface Timer {
  atMs: number
  order: number
  run: (() => void) | undefined
}

/** Time that jumps from event to event. Fast enough for millions of them: a heap, and promises settled only where one was touched. */
export class VirtualClock implements Clock {
  #nowMs = 0
  #order = 0
  readonly #heap: Timer[] = []
  #touched = false

  nowMs(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.at(ms, () => {
        this.touch()
        resolve()
      })
    })
  }

  schedule(ms: number, task: () => void): Disposable {
    const timer = this.at(ms, task)
    return {
      [Symbol.dispose]: () => {
        timer.run = undefined
      },
    }
  }

  /** Runs `task` after `ms`. */
  at(ms: number, task: () => void): Timer {
    const timer = { atMs: this.#nowMs + Math.max(0, ms), order: this.#order++, run: task }
    this.#push(timer)
    return timer
  }

  /** Promises wait to be settled before time goes on. */
  touch(): void {
    this.#touched = true
  }

  /** Runs everything that falls due until `endMs`. */
  async run(endMs: number): Promise<void> {
    for (let next = this.#heap[0]; next && next.atMs <= endMs; next = this.#heap[0]) {
      this.#pop()
      this.#nowMs = next.atMs
      next.run?.()
      while (this.#touched) {
        this.#touched = false
        await turn()
      }
    }
    this.#nowMs = endMs
  }

  #push(timer: Timer): void {
    const heap = this.#heap
    let index = heap.push(timer) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!isBefore(timer, heap[parent] as Timer)) break
      heap[index] = heap[parent] as Timer
      index = parent
    }
    heap[index] = timer
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop() as Timer
    if (heap.length === 0) return
    let index = 0
    for (let child = 1; child < heap.length; child = 2 * index + 1) {
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Timer, heap[child] as Timer)) child++
      if (!isBefore(heap[child] as Timer, last)) break
      heap[index] = heap[child] as Timer
      index = child
    }
    heap[index] = last
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
