import type { Clock } from '../../core/clock.ts'
import { describeError } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import type { Random } from '../../core/random.ts'
import type { CrnConfig } from './config.ts'
import { bootGuest, type Guest, type GuestOptions } from './guest/guest.ts'
import type { CrnMetrics } from './metrics.ts'
import type { Runtime } from './plan-vm.ts'
import type { Hypervisor } from './ports.ts'

const runtimes: readonly Runtime[] = ['python', 'node']
const retryDoublingsMax = 6
/** Longer than a program takes to start, much shorter than a boot. */
const refillDelayMs = 150

export interface PoolPorts {
  hypervisor: Hypervisor
  clock: Clock
  random: Random
  log: Log
  metrics: CrnMetrics
}

/** How many guests of a runtime to boot now. Pure. */
export function planRefill(state: {
  wanted: number
  ready: number
  booting: number
  bootsFree: number
  memoryMibFree: number
  memoryMib: number
}): number {
  const missing = state.wanted - state.ready - state.booting
  const affordable = Math.floor(state.memoryMibFree / state.memoryMib)
  return Math.max(0, Math.min(missing, state.bootsFree, affordable))
}

/** Guests booted ahead, per runtime. Refilled off the request path: two at a time is what a small machine bears. */
export class GuestPool implements AsyncDisposable {
  readonly #config: CrnConfig
  readonly #ports: PoolPorts
  readonly #guestOptions: GuestOptions
  readonly #ready: Record<Runtime, Guest[]> = { python: [], node: [] }
  readonly #booting: Record<Runtime, Set<Promise<unknown>>> = { python: new Set(), node: new Set() }
  readonly #failures: Record<Runtime, number> = { python: 0, node: 0 }
  readonly #retryAtMs: Record<Runtime, number> = { python: 0, node: 0 }
  readonly #full = Promise.withResolvers<void>()
  /** Nominal memory of guests that executions own. */
  #memoryMibInUse = 0
  readonly #stop = new AbortController()
  #closed = false
  #retry: Disposable | undefined
  #soon: Disposable | undefined

  constructor(config: CrnConfig, ports: PoolPorts) {
    this.#config = config
    this.#ports = ports
    this.#guestOptions = {
      clock: ports.clock,
      random: ports.random,
      bootTimeoutMs: config.bootTimeoutMs,
      connectionsMax: config.connectionsPerVmMax,
      logBytesMax: config.logBytesMax,
      logBytesPerSecondMax: config.logBytesPerSecondMax,
      warmUp: true,
      signal: this.#stop.signal,
    }
    this.refill()
  }

  /** Settles when the pool has been full for the first time, or when it is closed. */
  get full(): Promise<void> {
    return this.#full.promise
  }

  ready(runtime: Runtime): number {
    return this.#ready[runtime].length
  }

  /**
   * A guest for one program. Taken from the pool when one fits, else the next that is booting anyway, else booted for it.
   * The caller owns it and calls `released` when it is gone.
   * @throws VmBootError
   */
  async take(runtime: Runtime, memoryMib: number): Promise<{ guest: Guest; source: 'pool' | 'boot' }> {
    const fits = memoryMib <= this.#config.pool.memoryMib
    while (fits) {
      const guest = this.#ready[runtime].shift()
      if (!guest) break
      if (guest.isGone) continue
      this.#memoryMibInUse += guest.memoryMib
      this.#refillSoon()
      return { guest, source: 'pool' }
    }
    const pending = [...this.#booting[runtime]][0]
    if (fits && pending) {
      await pending.catch(() => {})
      if (this.#ready[runtime].length > 0) return this.take(runtime, memoryMib)
    }
    this.#memoryMibInUse += memoryMib
    try {
      return { guest: await this.#boot(runtime, memoryMib), source: 'boot' }
    } catch (error) {
      this.released(memoryMib)
      throw error
    }
  }

  /** The owner of a guest tells that it is gone. */
  released(memoryMib: number): void {
    this.#memoryMibInUse -= memoryMib
    this.refill()
  }

  /** Memory that new guests may take, in MiB; waiting guests count as free, for they can be given out. */
  get memoryMibFree(): number {
    return this.#config.memoryMibMax - this.#memoryMibInUse
  }

  /** Level-triggered: compares wanted with actual and boots what is missing. */
  refill(): void {
    if (this.#closed) return
    const { pool, memoryMibMax } = this.#config
    for (const runtime of runtimes) {
      this.#ready[runtime] = this.#ready[runtime].filter((guest) => !guest.isGone)
      if (this.#retryAtMs[runtime] > this.#ports.clock.monotonicMs()) continue
      const waiting = runtimes.reduce((sum, each) => sum + this.#ready[each].length + this.#booting[each].size, 0)
      const count = planRefill({
        wanted: pool[runtime],
        ready: this.#ready[runtime].length,
        booting: this.#booting[runtime].size,
        bootsFree: pool.bootsMax - runtimes.reduce((sum, each) => sum + this.#booting[each].size, 0),
        memoryMibFree: memoryMibMax - this.#memoryMibInUse - waiting * pool.memoryMib,
        memoryMib: pool.memoryMib,
      })
      for (let index = 0; index < count; index++) this.#bootAhead(runtime)
    }
    this.#report()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    this.#stop.abort(new Error('the host is stopping'))
    this.#retry?.[Symbol.dispose]()
    this.#soon?.[Symbol.dispose]()
    this.#full.resolve()
    await Promise.allSettled(runtimes.flatMap((runtime) => [...this.#booting[runtime]]))
    await Promise.all(runtimes.flatMap((runtime) => this.#ready[runtime].map((guest) => guest[Symbol.asyncDispose]())))
  }

  /** A boot takes a processor for seconds: the program that has just been given a guest goes first. */
  #refillSoon(): void {
    this.#soon ??= this.#ports.clock.schedule(refillDelayMs, () => {
      this.#soon = undefined
      this.refill()
    })
    this.#report()
  }

  #bootAhead(runtime: Runtime): void {
    const boot = this.#boot(runtime, this.#config.pool.memoryMib)
      .then(async (guest) => {
        this.#failures[runtime] = 0
        if (this.#closed) return guest[Symbol.asyncDispose]()
        this.#ready[runtime].push(guest)
        void guest.ended.then(() => this.refill())
      })
      .catch((error: unknown) => this.#bootFailed(runtime, error))
      .finally(() => {
        this.#booting[runtime].delete(boot)
        this.refill()
      })
    this.#booting[runtime].add(boot)
  }

  #bootFailed(runtime: Runtime, error: unknown): void {
    if (this.#closed) return
    const delayMs = this.#config.pool.retryMs * 2 ** Math.min(this.#failures[runtime]++, retryDoublingsMax)
    this.#retryAtMs[runtime] = this.#ports.clock.monotonicMs() + delayMs
    this.#ports.log.warn('a guest of the pool did not boot', { runtime, error: describeError(error), retryMs: delayMs })
    this.#retry?.[Symbol.dispose]()
    this.#retry = this.#ports.clock.schedule(delayMs + 1, () => this.refill())
  }

  async #boot(runtime: Runtime, memoryMib: number): Promise<Guest> {
    const { hypervisor, random, metrics } = this.#ports
    const startedAt = performance.now()
    const id = `${runtime}-${Buffer.from(random.bytes(6)).toString('hex')}`
    try {
      const guest = await bootGuest(hypervisor, { id, runtime, memoryMib }, this.#guestOptions)
      metrics.boots.add({ runtime, result: 'ok' })
      metrics.bootSeconds.observe((performance.now() - startedAt) / 1_000, { runtime })
      return guest
    } catch (error) {
      metrics.boots.add({ runtime, result: 'failed' })
      throw error
    }
  }

  #report(): void {
    for (const runtime of runtimes) this.#ports.metrics.poolReady.set(this.#ready[runtime].length, { runtime })
    if (runtimes.every((runtime) => this.#ready[runtime].length >= this.#config.pool[runtime])) this.#full.resolve()
  }
}
