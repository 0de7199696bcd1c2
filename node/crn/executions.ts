import type { Clock } from '../../core/clock.ts'
import { AppError, describeError } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import { parseShape } from '../../core/schema.ts'
import { SingleFlight } from '../../core/single-flight.ts'
import { programContentSchema } from '../protocol/content.ts'
import type { CodeCache } from './code/code-cache.ts'
import type { CrnConfig } from './config.ts'
import { BadArchiveError, HostFullError, ProgramStartError, UnsupportedProgramError } from './errors.ts'
import type { Guest } from './guest/guest.ts'
import type { CrnMetrics } from './metrics.ts'
import { planVm, type VmPlan, watchedRefs } from './plan-vm.ts'
import type { GuestPool } from './pool.ts'
import type { NetworkSource } from './ports.ts'

/** One version of a program that runs. */
export interface Execution {
  readonly itemHash: string
  readonly codeRef: string
  readonly plan: VmPlan
  readonly guest: Guest
  /** File hashes of the volumes, in order: the version. */
  readonly files: readonly string[]
  readonly definedAtMs: number
  readonly startedAtMs: number
  requests: number
  lastUsedMs: number
  /** No new requests: an upgrade took its place, or it is being stopped. */
  draining: boolean
}

export interface ExecutionsPorts {
  pool: GuestPool
  cache: CodeCache
  network: NetworkSource
  clock: Clock
  log: Log
  metrics: CrnMetrics
}

interface Wanted {
  plan: VmPlan
  codeRef: string
  owner: string
}

const sweepMs = 5_000
/** Logs of programs that are gone: an owner looks at them after the failure. */
const pastLogsMax = 100
const failedMax = 1_000

/** What runs on this host: starts programs on request, moves them to new versions, stops what is idle. */
export class Executions implements AsyncDisposable {
  readonly #config: CrnConfig
  readonly #ports: ExecutionsPorts
  readonly #running = new Map<string, Execution>()
  readonly #draining = new Set<Execution>()
  readonly #flights = new SingleFlight<string, Execution>()
  readonly #upgrades = new SingleFlight<string, void>()
  readonly #dirty = new Set<string>()
  readonly #failed = new Map<string, { error: Error; untilMs: number }>()
  readonly #pastLogs = new Map<string, string>()
  readonly #stop = new AbortController()
  readonly #disposing = new Map<Execution, Promise<void>>()
  readonly #starting = new Set<Promise<unknown>>()
  #slotsTaken = 0
  #sweep: Disposable
  #watch: Disposable

  constructor(config: CrnConfig, ports: ExecutionsPorts) {
    this.#config = config
    this.#ports = ports
    this.#sweep = ports.clock.schedule(sweepMs, () => this.#sweepIdle())
    this.#watch = ports.network.onFileChanged((ref) => this.#fileChanged(ref))
  }

  list(): Execution[] {
    return [...this.#running.values()]
  }

  /** What the program printed last, running or gone; undefined for one that never ran here. */
  logs(itemHash: string): string | undefined {
    return this.#running.get(itemHash)?.guest.logs.text() ?? this.#pastLogs.get(itemHash)
  }

  /**
   * The running program, started if need be, with one request counted on it. Call `release` when the request is over.
   * @throws AppError: unknown program (404), host full (503), code that does not load (502), bad code (422)
   */
  async acquire(itemHash: string): Promise<Execution> {
    for (;;) {
      const running = this.#running.get(itemHash)
      const execution =
        running && !running.guest.isGone ? running : await this.#flights.run(itemHash, () => this.#begin(itemHash))
      // An upgrade may have replaced it between its start and this line.
      if (execution.draining) continue
      execution.requests++
      return execution
    }
  }

  release(execution: Execution): void {
    execution.requests--
    execution.lastUsedMs = this.#ports.clock.nowMs()
    if (execution.draining && execution.requests === 0) void this.#dispose(execution)
  }

  /** Takes a program whose guest is gone out of service at once, so that the next request starts a fresh one. */
  drop(execution: Execution): void {
    if (this.#running.get(execution.itemHash) === execution) this.#running.delete(execution.itemHash)
    void this.#dispose(execution)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#sweep[Symbol.dispose]()
    this.#watch[Symbol.dispose]()
    this.#stop.abort(new Error('the host is stopping'))
    await Promise.allSettled([...this.#starting])
    const all = [...this.#running.values(), ...this.#draining]
    this.#running.clear()
    await Promise.all(all.map((execution) => this.#dispose(execution)))
  }

  async #begin(itemHash: string): Promise<Execution> {
    const failed = this.#failed.get(itemHash)
    if (failed && failed.untilMs > this.#ports.clock.monotonicMs()) throw failed.error
    this.#failed.delete(itemHash)
    await this.#reserveSlot()
    const work = this.#start(itemHash)
    this.#starting.add(work)
    try {
      const execution = await work
      this.#adopt(execution)
      return execution
    } catch (error) {
      this.#slotsTaken--
      this.#rememberFailure(itemHash, error)
      throw error
    } finally {
      this.#starting.delete(work)
    }
  }

  /** A program that cannot start must not cost a booted guest with every request for it. */
  #rememberFailure(itemHash: string, error: unknown): void {
    const lasting =
      error instanceof ProgramStartError || error instanceof BadArchiveError || error instanceof UnsupportedProgramError
    if (!lasting) return
    if (this.#failed.size >= failedMax) this.#failed.delete(this.#failed.keys().next().value as string)
    this.#failed.set(itemHash, { error, untilMs: this.#ports.clock.monotonicMs() + this.#config.failedStartMs })
  }

  /** @throws HostFullError when nothing idle can make room */
  async #reserveSlot(): Promise<void> {
    const { vmsMax, evictIdleMs, pool } = this.#config
    const full = (): boolean => this.#slotsTaken >= vmsMax || this.#ports.pool.memoryMibFree < pool.memoryMib
    const idlest = full() ? this.#idle(evictIdleMs)[0] : undefined
    if (idlest) {
      this.#running.delete(idlest.itemHash)
      await this.#dispose(idlest)
    }
    if (full()) throw new HostFullError('running programs', vmsMax)
    this.#slotsTaken++
  }

  async #start(itemHash: string): Promise<Execution> {
    const { network, metrics } = this.#ports
    const startedAt = performance.now()
    const definedAtMs = this.#ports.clock.nowMs()
    const { content, owner } = await network.program(itemHash, this.#stop.signal)
    const program = parseShape(programContentSchema, content, 'content of the PROGRAM message')
    const { pool, memoryMibMax, answerTimeoutMs, answerTimeoutMsMax } = this.#config
    const plan = planVm(itemHash, program, {
      poolMemoryMib: pool.memoryMib,
      memoryMibMax,
      answerTimeoutMs,
      answerTimeoutMsMax,
    })
    const wanted = { plan, codeRef: program.code.ref, owner }
    const files = await this.#files(wanted)
    const code = (await this.#ports.cache.find(files[0] as string, plan.volumes[0] as VmPlan['volumes'][0]))
      ? 'present'
      : 'absent'
    const execution = await this.#boot(itemHash, wanted, files, definedAtMs)
    metrics.startSeconds.observe((performance.now() - startedAt) / 1_000, { code })
    metrics.codeCache.add({ result: code })
    return execution
  }

  #files({ plan, owner }: Wanted): Promise<string[]> {
    const { network } = this.#ports
    return Promise.all(
      plan.volumes.map((volume) => network.fileHash(volume.ref, owner, volume.useLatest, this.#stop.signal)),
    )
  }

  async #boot(itemHash: string, { plan, codeRef }: Wanted, files: string[], definedAtMs: number): Promise<Execution> {
    const { pool, cache, clock, metrics } = this.#ports
    const images = plan.volumes.map((volume, index) => cache.get(files[index] as string, volume, this.#stop.signal))
    // Bad code must not cost a guest, so images come first.
    const paths = await Promise.all(images)
    const { guest, source } = await pool.take(plan.runtime, plan.memoryMib)
    metrics.starts.add({ source })
    try {
      await Promise.all(
        plan.volumes.map(({ slot }, index) => guest.vm.attach({ slot, imagePath: paths[index] as string })),
      )
      await guest.start(plan.settings, this.#config.startTimeoutMs)
    } catch (cause) {
      this.#keepLogs(itemHash, guest)
      await guest[Symbol.asyncDispose]()
      pool.released(guest.memoryMib)
      throw new ProgramStartError(itemHash, reasonOf(cause, guest.failure()), { cause })
    }
    const now = clock.nowMs()
    return {
      itemHash,
      codeRef,
      plan,
      guest,
      files,
      definedAtMs,
      startedAtMs: now,
      requests: 0,
      lastUsedMs: now,
      draining: false,
    }
  }

  /** Puts a started program into service. */
  #adopt(execution: Execution): void {
    this.#running.set(execution.itemHash, execution)
    this.#report()
    void execution.guest.ended.then(({ reason }) => {
      if (execution.draining) return
      this.#ports.metrics.guestsEnded.add()
      this.#ports.log.warn('a guest ended by itself', { program: execution.itemHash, reason })
      this.drop(execution)
    })
  }

  #dispose(execution: Execution): Promise<void> {
    const before = this.#disposing.get(execution)
    if (before) return before
    execution.draining = true
    this.#draining.delete(execution)
    this.#keepLogs(execution.itemHash, execution.guest)
    const work = (async () => {
      await execution.guest[Symbol.asyncDispose]()
      this.#slotsTaken--
      this.#ports.pool.released(execution.guest.memoryMib)
      this.#disposing.delete(execution)
      this.#report()
    })()
    this.#disposing.set(execution, work)
    return work
  }

  #keepLogs(itemHash: string, guest: Guest): void {
    this.#pastLogs.delete(itemHash)
    this.#pastLogs.set(itemHash, guest.logs.text())
    const oldest = this.#pastLogs.keys().next().value
    if (this.#pastLogs.size > pastLogsMax && oldest !== undefined) this.#pastLogs.delete(oldest)
  }

  #fileChanged(ref: string): void {
    // Any of them may be repaired by this file; at worst each costs one more attempt.
    this.#failed.clear()
    for (const execution of this.#running.values()) {
      if (!watchedRefs(execution.plan).includes(ref)) continue
      // A change during an upgrade is remembered: the loop runs once more and sees the newest version.
      this.#dirty.add(execution.itemHash)
      void this.#upgrades.run(execution.itemHash, () => this.#upgradeUntilClean(execution.itemHash))
    }
  }

  async #upgradeUntilClean(itemHash: string): Promise<void> {
    while (this.#dirty.delete(itemHash) && !this.#stop.signal.aborted) {
      try {
        if (await this.#upgrade(itemHash)) this.#ports.metrics.upgrades.add({ result: 'ok' })
      } catch (error) {
        // The old version keeps serving; its owner sees the failure in the logs and may publish again.
        this.#ports.metrics.upgrades.add({ result: 'failed' })
        this.#ports.log.warn('an upgrade failed; the old version goes on', {
          program: itemHash,
          error: describeError(error),
        })
      }
    }
  }

  /** Boots the new version, shifts new requests to it, lets the old one finish. Returns whether anything changed. */
  async #upgrade(itemHash: string): Promise<boolean> {
    const old = this.#running.get(itemHash)
    if (!old) return false
    const { owner } = await this.#ports.network.program(itemHash, this.#stop.signal)
    const wanted = { plan: old.plan, codeRef: old.codeRef, owner }
    const files = await this.#files(wanted)
    if (files.every((file, index) => file === old.files[index])) return false
    this.#slotsTaken++ // an upgrade may exceed the limit for as long as the old version drains
    const work = this.#boot(itemHash, wanted, files, this.#ports.clock.nowMs())
    this.#starting.add(work)
    try {
      this.#adopt(await work)
    } catch (error) {
      this.#slotsTaken--
      throw error
    } finally {
      this.#starting.delete(work)
    }
    this.#drain(old)
    return true
  }

  #drain(old: Execution): void {
    if (old.guest.isGone) return
    old.draining = true
    if (old.requests === 0) return void this.#dispose(old)
    this.#draining.add(old)
    this.#ports.clock.schedule(this.#config.drainMs, () => void this.#dispose(old))
  }

  #idle(ms: number): Execution[] {
    const before = this.#ports.clock.nowMs() - ms
    return this.list()
      .filter((execution) => execution.requests === 0 && execution.lastUsedMs <= before)
      .sort((a, b) => a.lastUsedMs - b.lastUsedMs)
  }

  #sweepIdle(): void {
    for (const execution of this.#idle(this.#config.idleMs)) this.drop(execution)
    this.#sweep = this.#ports.clock.schedule(sweepMs, () => this.#sweepIdle())
  }

  #report(): void {
    this.#ports.metrics.vms.set(this.#running.size)
  }
}

/** Says what went wrong without what the program printed: that is for its owner. */
function reasonOf(cause: unknown, failure: string): string {
  if (failure.startsWith('load:')) return 'it ended while its code was loaded'
  if (failure.startsWith('mount:')) return 'one of its volumes cannot be mounted'
  if (cause instanceof AppError) return cause.message.replace(/\.$/, '')
  return 'the host could not prepare its volumes'
}
