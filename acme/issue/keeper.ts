import type { Clock } from '../../core/clock.ts'
import { AppError, toProblem } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import type { Random } from '../../core/random.ts'
import { SingleFlight } from '../../core/single-flight.ts'
import type { AcmeClient } from '../client/client.ts'
import type { AcmeConfig } from '../config.ts'
import { ManagerStoppedError, TooManyOrdersError } from '../errors.ts'
import type { AcmeMetrics } from '../metrics.ts'
import type { ServedCertificate } from '../ports.ts'
import { renewalIdOf } from '../x509.ts'
import { CertificateTable, type HeldCertificate } from './certificate-table.ts'
import { DueQueue } from './due-queue.ts'
import type { Issuer, NameSet, Renewing } from './issuer.ts'
import { parseName, parseNameSet, setIdOf, wildcardOf } from './names.ts'
import type { CertificateRecord, Records } from './records.ts'
import { Refusals } from './refusals.ts'
import { planRenewal, renewAtMs } from './renewal-plan.ts'
import { type CertificateStatus, refusedStatus, type SetState, statusOf } from './status.ts'

/** What a keeper works with. Aborting `stop` ends it. */
export interface KeeperPorts {
  issuer: Issuer
  clock: Clock
  random: Random
  log: Log
  records: Records
  client: AcmeClient
  counts: AcmeMetrics
  stop: AbortController
}

const hourMs = 3_600_000
// Trouble of the CA or of ours passes by itself; the caller's lasts until a person acts.
const troubleRefusalMs = 2_000
const loadsAtOnce = 16

/**
 * Keeps the certificates of one CA: what is in memory, what is under way, what is due. Every look starts from the store, so that a
 * crash, or another instance, changes nothing but the moment.
 */
export class Keeper {
  #config: AcmeConfig
  #parts: KeeperPorts
  #table = new CertificateTable()
  #sets = new Map<string, SetState>()
  /** Managed sets by each of their names: a name they cover never gets a certificate of its own. */
  #managed = new Map<string, NameSet>()
  #servable = 0
  #refusals: Refusals
  #flights = new SingleFlight<string, CertificateRecord>()
  #running = new Set<Promise<unknown>>()
  #listeners = new Set<(name: string) => void>()
  #queue: DueQueue

  constructor(config: AcmeConfig, parts: KeeperPorts) {
    this.#config = config
    this.#parts = parts
    this.#refusals = new Refusals(config.refusalsMax)
    this.#queue = new DueQueue(parts.clock, (id) => this.#track(this.#look(id)))
  }

  find(serverName: string): ServedCertificate | undefined {
    return this.#table.find(serverName.toLowerCase(), this.#parts.clock.nowMs())
  }

  async obtain(serverName: string, signal: AbortSignal): Promise<ServedCertificate> {
    signal.throwIfAborted()
    const name = parseName(serverName)
    const found = this.find(name)
    if (found !== undefined) return found
    const set = this.#managedSetFor(name) ?? { id: setIdOf([name]), names: [name], kind: 'demand' }
    const refused = this.#refusals.find(set.id, this.#parts.clock.nowMs())
    if (refused !== undefined) throw refused
    if (this.#running.size > this.#config.ordersQueuedMax) throw new TooManyOrdersError(this.#running.size)
    return servedOf(await within(this.#attempt(set), signal), this.#table)
  }

  async ensure(names: readonly string[], signal?: AbortSignal): Promise<ServedCertificate> {
    const sorted = parseNameSet(names)
    const id = setIdOf(sorted)
    const state = this.#stateOf({ id, names: sorted, kind: 'managed' })
    state.set = { ...state.set, kind: 'managed' }
    for (const name of sorted) this.#managed.set(name, state.set)
    const { held, renewAtMs: dueMs } = state
    if (held !== undefined && held.record.notAfterMs > this.#parts.clock.nowMs()) {
      this.#queue.set(id, Math.min(this.#queue.get(id) ?? Number.POSITIVE_INFINITY, dueMs as number))
      return held.served
    }
    return servedOf(await within(this.#attempt(state.set), signal), this.#table)
  }

  refusal(serverName: string): AppError | undefined {
    const name = serverName.toLowerCase()
    const set = this.#managedSetFor(name) ?? { id: setIdOf([name]) }
    return this.#refusals.find(set.id, this.#parts.clock.nowMs()) ?? this.#sets.get(set.id)?.failure
  }

  status(): CertificateStatus[] {
    const nowMs = this.#parts.clock.nowMs()
    const known = [...this.#sets.values()].map((state) => statusOf(state, this.#queue.get(state.set.id), nowMs))
    const refused = this.#refusals.list(nowMs).filter(([id]) => !this.#sets.has(id))
    return [...known, ...refused.map(([, { names, error, untilMs }]) => refusedStatus(names, error, untilMs))]
  }

  /** Reads what the store has. A record that cannot be read is reported and left alone; nothing is ordered in its place. */
  async load(): Promise<void> {
    const { records, clock, log, issuer } = this.#parts
    const ids = (await records.ids('certificate')).slice(0, this.#config.certificatesMax)
    for (let at = 0; at < ids.length; at += loadsAtOnce) {
      await Promise.all(ids.slice(at, at + loadsAtOnce).map((id) => this.#loadOne(id)))
    }
    for (const id of await records.ids('order')) {
      const left = await issuer.unfinished(id)
      if (left === undefined) continue
      this.#stateOf(left)
      this.#queue.set(id, clock.nowMs())
    }
    log.info('certificates loaded', { count: ids.length })
  }

  onChange(listener: (name: string) => void): Disposable {
    this.#listeners.add(listener)
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) }
  }

  async close(): Promise<void> {
    this.#queue[Symbol.dispose]()
    this.#parts.stop.abort(new ManagerStoppedError())
    await Promise.allSettled(this.#running)
  }

  async #loadOne(id: string): Promise<void> {
    const { records, clock, log } = this.#parts
    try {
      const record = await records.read('certificate', id)
      if (record !== undefined && record.notAfterMs > clock.nowMs()) this.#adopt(id, record)
    } catch (error) {
      log.error('a certificate in the store cannot be used', { id, error: (error as Error).message })
    }
  }

  #managedSetFor(name: string): NameSet | undefined {
    return this.#managed.get(name) ?? this.#managed.get(wildcardOf(name))
  }

  /** Whether the operator asks for this set in this life of ours. */
  #isManaged({ names }: NameSet): boolean {
    return this.#managed.get(names[0] as string)?.names.join() === names.join()
  }

  #stateOf(set: NameSet): SetState {
    const known = this.#sets.get(set.id)
    if (known !== undefined) return known
    const state: SetState = { set, ordering: false, place: this.#parts.random.float() }
    this.#sets.set(set.id, state)
    return state
  }

  #adopt(id: string, record: CertificateRecord): void {
    const { clock, random, counts } = this.#parts
    const state = this.#stateOf({ id, names: record.names, kind: record.kind })
    const { held } = state
    state.held = this.#table.put(id, record)
    if (held !== undefined && held.served.id !== state.held.served.id) this.#table.remove(held)
    state.failure = undefined
    state.renewAtMs = renewAtMs(record)
    state.place = random.float()
    this.#refusals.delete(id)
    // A first look within half a day asks the CA for its renewal window; spread, so that a restart makes no burst.
    this.#queue.set(id, Math.min(state.renewAtMs, clock.nowMs() + 12 * hourMs * random.float()))
    if (held === undefined) counts.certificates.set(++this.#servable)
    this.#tell(record.names)
  }

  #tell(names: readonly string[]): void {
    for (const listener of this.#listeners) for (const name of names) listener(name)
  }

  /** One attempt at a set's certificate, shared by everybody who asks meanwhile. */
  #attempt(set: NameSet, renewing?: Renewing): Promise<CertificateRecord> {
    return this.#flights.run(set.id, () => this.#track(this.#try(set, renewing)))
  }

  async #try(set: NameSet, renewing?: Renewing): Promise<CertificateRecord> {
    const { issuer, stop } = this.#parts
    const state = this.#stateOf(set)
    state.ordering = true
    try {
      const record = await issuer.issue(set, renewing, stop.signal)
      this.#adopt(set.id, record)
      return record
    } catch (error) {
      if (!stop.signal.aborted) this.#failed(state, error)
      throw error
    } finally {
      state.ordering = false
    }
  }

  #failed(state: SetState, error: unknown): void {
    const { clock, log, counts } = this.#parts
    const { id, names } = state.set
    const nowMs = clock.nowMs()
    const problem = toProblem(error)
    counts.refusals.add({ code: problem.code })
    if (error instanceof AppError) {
      state.failure = error
      this.#refusals.add(id, { names, error, untilMs: this.#refusedUntilMs(error, nowMs) })
    } else log.error('ordering a certificate failed unexpectedly', { names: names.join(','), error: String(error) })
    const keep = this.#isManaged(state.set) || state.held !== undefined
    if (!keep) {
      this.#sets.delete(id)
      this.#queue.delete(id)
      return
    }
    log.warn('no certificate yet', { names: names.join(','), code: problem.code, reason: problem.detail })
    this.#queue.set(id, this.#nextTryMs(state, error, nowMs))
  }

  /** Half to one and a half of the configured time, so that many names refused together do not come back together. */
  #refusedUntilMs(error: AppError, nowMs: number): number {
    const baseMs =
      error.fault === 'caller' ? this.#config.refusalMs : Math.min(troubleRefusalMs, this.#config.refusalMs)
    return Math.min(retryAtMsOf(error) ?? Number.POSITIVE_INFINITY, nowMs + baseMs * (0.5 + this.#parts.random.float()))
  }

  /** When a set that must have a certificate is tried again by itself. The ladder in the store has the last word. */
  #nextTryMs(state: SetState, error: unknown, nowMs: number): number {
    const leftMs = (state.held?.record.notAfterMs ?? nowMs) - nowMs
    const pauseMs = state.set.kind === 'managed' ? 2_000 : Math.max(60_000, Math.min(hourMs, leftMs / 20))
    return Math.max(retryAtMsOf(error) ?? 0, nowMs + pauseMs * (1 + this.#parts.random.float() * 0.1))
  }

  /** Compares what a set should have with what it has, and acts; every turn starts from the store, so a crash changes nothing. */
  async #look(id: string): Promise<void> {
    const state = this.#sets.get(id)
    const { stop, log } = this.#parts
    if (state === undefined || stop.signal.aborted) return
    try {
      await this.#lookAt(state)
    } catch (error) {
      // An attempt has reported and rescheduled itself; what remains is the look's own trouble with the store.
      if (!stop.signal.aborted && this.#queue.get(id) === undefined && this.#sets.has(id)) {
        log.warn('a certificate could not be looked at', {
          names: state.set.names.join(','),
          error: (error as Error).message,
        })
        this.#queue.set(id, this.#nextTryMs(state, error, this.#parts.clock.nowMs()))
      }
    }
  }

  async #lookAt(state: SetState): Promise<void> {
    const { records, clock, issuer } = this.#parts
    const { id } = state.set
    const stored = await records.read('certificate', id)
    if (stored !== undefined && stored.notAfterMs > Math.max(clock.nowMs(), state.held?.record.notAfterMs ?? 0))
      this.#adopt(id, stored)
    const { held } = state
    if (held === undefined || held.record.notAfterMs <= clock.nowMs()) {
      const wanted =
        this.#isManaged(state.set) || (state.set.kind === 'demand' && (await issuer.unfinished(id)) !== undefined)
      if (wanted) await this.#attempt(state.set)
      else this.#drop(state)
      return
    }
    // Managed in an earlier life, and not, or not yet, asked for in this one: kept to its end, not renewed.
    if (state.set.kind === 'managed' && !this.#isManaged(state.set))
      this.#queue.set(id, Math.min(clock.nowMs() + hourMs, held.record.notAfterMs))
    else await this.#renewIfDue(state, held)
  }

  /** Expired, and nobody has asked for it lately: the next visitor gets a new one. */
  #drop(state: SetState): void {
    if (state.held !== undefined) {
      this.#table.remove(state.held)
      this.#parts.counts.certificates.set(--this.#servable)
      this.#tell(state.held.record.names)
    }
    this.#sets.delete(state.set.id)
  }

  async #renewIfDue(state: SetState, held: HeldCertificate): Promise<void> {
    const { clock, counts } = this.#parts
    const { record } = held
    const renewalId = renewalIdOf(record.certificatePem)
    const window = await this.#askWindow(renewalId)
    const step = planRenewal(record, window, { nowMs: clock.nowMs(), place: state.place })
    if (step.do === 'wait') {
      state.renewAtMs = step.renewAtMs
      this.#queue.set(state.set.id, step.atMs)
      return
    }
    await this.#attempt(state.set, { certificate: record, renewalId: window && renewalId }).catch((error: unknown) => {
      if (record.notAfterMs - clock.nowMs() < (record.notAfterMs - record.notBeforeMs) / 4) counts.late.add()
      throw error
    })
  }

  /** The CA's renewal window. Its absence must never hinder a renewal, so trouble counts as none. */
  async #askWindow(renewalId: string | undefined) {
    if (renewalId === undefined) return undefined
    const { client, log, stop } = this.#parts
    return client.renewalWindow(renewalId, stop.signal).catch((error: unknown) => {
      log.debug('no renewal information', { error: (error as Error).message })
      return undefined
    })
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work)
    const forget = () => void this.#running.delete(work)
    work.then(forget, forget)
    return work
  }
}

function retryAtMsOf(error: unknown): number | undefined {
  const details = error instanceof AppError ? (error.details as { retryAtMs?: unknown } | undefined) : undefined
  return typeof details?.retryAtMs === 'number' ? details.retryAtMs : undefined
}

function servedOf(record: CertificateRecord, table: CertificateTable): ServedCertificate {
  const found = table.find(record.names[0] as string, record.notAfterMs - 1)
  if (found === undefined) throw new ManagerStoppedError()
  return found
}

/** Waits for shared work until the caller's signal; the work itself goes on. */
function within<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    void work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
