import type { Clock } from '../../core/clock.ts'

/** How short memory is: `soft` refuses new exchanges and lets idle connections go, `hard` refuses new connections as well. */
export type MemoryPressure = 'none' | 'soft' | 'hard'

export interface MemoryBudgetLimits {
  softBytes: number
  hardBytes: number
}

export interface MemoryBudgetPorts {
  clock: Clock
  /** Resident memory of this process, bytes: `process.memoryUsage.rss`. */
  residentBytes: () => number
  /** Told of every change, and again at every look while memory is short, so that connections that are idle by then can be closed. */
  onChange?: (pressure: MemoryPressure) => void
}

/** How often resident memory is looked at, milliseconds. Between looks, what is reserved tells of growth. */
export const memorySampleMs = 1_000
/** A level is left once use is below this share of its mark, so that it does not come and go with every request. */
const leaveShare = 0.9
/** After this long in one spell of pressure, resident memory that nothing accounts for any more is taken as kept by the allocator, milliseconds. */
const keptAfterMs = 10_000
/** Most that is believed to be kept, as a share of the hard mark: a leak must not be forgiven without end. */
const keptShareMax = 0.5

/**
 * Bounds the memory of a worker. New work asks with `reserve`; work in progress uses `charge`, which never refuses. What is in use is the
 * larger of what was reserved and what the process holds, brought up to date by what was reserved since the last look.
 *
 * Allocators give little back: after a flood the process may stay large though its memory is free inside. When what is reserved has fallen
 * to half of its peak, and pressure has lasted ten seconds, that part is taken as kept, and new growth is measured from there.
 */
export class MemoryBudget implements Disposable {
  #limits: MemoryBudgetLimits
  readonly #ports: MemoryBudgetPorts
  #reserved = 0
  /** Most reserved during this spell of pressure. */
  #peak = 0
  #resident = 0
  #reservedAtSample = 0
  #kept = 0
  #pressure: MemoryPressure = 'none'
  #sinceMs: number
  #timer: Disposable

  constructor(limits: MemoryBudgetLimits, ports: MemoryBudgetPorts) {
    this.#limits = limits
    this.#ports = ports
    this.#sinceMs = ports.clock.monotonicMs()
    this.#resident = ports.residentBytes()
    this.#timer = this.#next()
    this.#judge()
  }

  /** Takes other marks, from now on. */
  configure(limits: MemoryBudgetLimits): void {
    this.#limits = limits
    this.#judge()
  }

  get pressure(): MemoryPressure {
    return this.#pressure
  }

  /** Bytes that are reserved or charged now. For a metric. */
  get reservedBytes(): number {
    return this.#reserved
  }

  /** What the marks are compared with, bytes. */
  get usedBytes(): number {
    // What was released since the last look may still be held by the process: only growth is added.
    const grown = this.#reserved > this.#reservedAtSample ? this.#reserved - this.#reservedAtSample : 0
    const resident = this.#resident - this.#kept + grown
    return Math.max(resident, this.#reserved)
  }

  /** New work asks for memory. False: refuse the work; nothing was counted. */
  reserve(bytes: number): boolean {
    if (this.#pressure === 'hard' || this.usedBytes + bytes > this.#limits.hardBytes) return false
    this.charge(bytes)
    return true
  }

  /** Counts memory that work in progress takes in any case. */
  charge(bytes: number): void {
    this.#reserved += bytes
    if (this.#reserved > this.#peak) this.#peak = this.#reserved
    // Growth can only raise the level: nothing to do while below the next mark.
    if (this.#pressure !== 'hard' && this.usedBytes >= this.#limits.softBytes) this.#judge()
  }

  /** Gives back what `reserve` or `charge` counted. */
  release(bytes: number): void {
    this.#reserved -= bytes
    if (this.#pressure !== 'none') this.#judge()
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]()
  }

  #next(): Disposable {
    return this.#ports.clock.schedule(memorySampleMs, () => {
      this.#sample()
      this.#timer = this.#next()
    })
  }

  #sample(): void {
    this.#resident = this.#ports.residentBytes()
    this.#reservedAtSample = this.#reserved
    const spellMs = this.#ports.clock.monotonicMs() - this.#sinceMs
    const surplus = Math.max(0, this.#resident - this.#limits.softBytes * (leaveShare - 0.05))
    // What has been given back to the system is no longer kept.
    this.#kept = Math.min(this.#kept, surplus)
    if (this.#pressure !== 'none' && spellMs >= keptAfterMs && this.#reserved * 2 <= this.#peak)
      this.#kept = Math.min(surplus, this.#limits.hardBytes * keptShareMax)
    const before = this.#pressure
    this.#judge()
    if (this.#pressure === before && before !== 'none') this.#ports.onChange?.(before)
  }

  #judge(): void {
    const next = pressureOf(this.usedBytes, this.#pressure, this.#limits)
    if (next === this.#pressure) return
    if (next === 'none') this.#peak = this.#reserved
    if (this.#pressure === 'none') this.#sinceMs = this.#ports.clock.monotonicMs()
    this.#pressure = next
    this.#ports.onChange?.(next)
  }
}

/** The level for `usedBytes`, given the one before: entered at its mark, left below nine tenths of it. */
export function pressureOf(usedBytes: number, before: MemoryPressure, limits: MemoryBudgetLimits): MemoryPressure {
  const hardMark = before === 'hard' ? limits.hardBytes * leaveShare : limits.hardBytes
  if (usedBytes >= hardMark) return 'hard'
  const softMark = before === 'none' ? limits.softBytes : limits.softBytes * leaveShare
  return usedBytes >= softMark ? 'soft' : 'none'
}

/** Shares of a worker's part of the machine, where the configuration leaves the marks to us. The rest is for the kernel's socket buffers. */
const softShare = 0.6
const hardShare = 0.75
/** What a worker needs before it has done anything, with room to work: marks below it would refuse everything. */
const smallestBytes = 256 * 1024 * 1024

export interface MachineMemory {
  /** Memory this process may use: of the machine, or of its control group. */
  totalBytes: number
  /** Workers that share it. */
  workers: number
}

/** The marks of one worker: as configured, or, where that is 0, 60 % and 75 % of its part of the machine. */
export function planMemory(configured: MemoryBudgetLimits, machine: MachineMemory): MemoryBudgetLimits {
  const part = Math.max(smallestBytes, machine.totalBytes / machine.workers)
  const hardBytes = configured.hardBytes || Math.floor(part * hardShare)
  const softBytes = configured.softBytes || Math.floor(Math.min(part * softShare, hardBytes * (softShare / hardShare)))
  return { softBytes: Math.min(softBytes, hardBytes), hardBytes }
}
