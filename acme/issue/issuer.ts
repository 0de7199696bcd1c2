import type { Clock } from '../../core/clock.ts'
import { AppError } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import type { Random } from '../../core/random.ts'
import type { AcmeClient } from '../client/client.ts'
import { AcmeProblemError } from '../client/problem.ts'
import type { Order } from '../client/resources.ts'
import type { AcmeConfig } from '../config.ts'
import {
  BackingOffError,
  CertificateUnusableError,
  type FailureSummary,
  NoChallengeError,
  OrderedElsewhereError,
  PolicyFailedError,
} from '../errors.ts'
import type { AcmeMetrics } from '../metrics.ts'
import type { ChallengeResponder, IssuancePolicy, Lock } from '../ports.ts'
import { createKeyPem, readLeaf } from '../x509.ts'
import { Budgets } from './budgets.ts'
import { isCaTrouble, nextFailure } from './ladder.ts'
import { keepLock } from './lock.ts'
import type { CertificateRecord, OrderRecord, Records } from './records.ts'
import { abandonOrder, runOrder } from './run-order.ts'
import { Turnstile } from './turnstile.ts'

/** The names of one certificate, and on whose behalf. `id` is the key in the store. */
export interface NameSet {
  id: string
  names: string[]
  kind: 'managed' | 'demand'
}

/** What is to be replaced, when a certificate exists already. */
export interface Renewing {
  certificate: CertificateRecord
  /** Its identifier for the CA, which exempts the order from rate limits; see RFC 9773 §5. */
  renewalId?: string | undefined
}

export interface IssuerPorts {
  client: AcmeClient
  records: Records
  responders: readonly ChallengeResponder[]
  policy: IssuancePolicy
  clock: Clock
  random: Random
  log: Log
  metrics: AcmeMetrics
}

// An order left behind by a crash is worth resuming for as long as the shortest-lived pending authorization (one hour).
const resumeMsMax = 3_600_000

/**
 * Gets the certificate of a name set: from the store if someone has put it there, by resuming an order that was left behind, or by
 * a new order. At most one order per set at a time over all instances that share the store.
 */
export class Issuer {
  #config: AcmeConfig
  #ports: IssuerPorts
  #turnstile: Turnstile
  #budgets: Budgets
  /** Set while the CA is in trouble: no name is blamed, and nobody asks it. */
  #caPause: FailureSummary | undefined

  constructor(config: AcmeConfig, ports: IssuerPorts) {
    this.#config = config
    this.#ports = ports
    this.#budgets = new Budgets(config, ports)
    this.#turnstile = new Turnstile({ insideMax: config.ordersInFlightMax, waitingMax: config.ordersQueuedMax })
  }

  /** @throws AppError of the policy, of the CA, of a budget, of the store, or BackingOffError */
  async issue(set: NameSet, renewing: Renewing | undefined, signal: AbortSignal): Promise<CertificateRecord> {
    if (set.kind === 'demand') await this.#askPolicy(set, signal)
    const stored = await this.#stored(set, renewing)
    if (stored !== undefined) return stored
    await this.#verifyMayTry(set)
    return this.#turnstile.run(() => this.#issueAlone(set, renewing, signal))
  }

  /** Whether an order was left behind, and for which names. */
  async unfinished(id: string): Promise<NameSet | undefined> {
    const order = await this.#ports.records.read('order', id)
    return order && { id, names: order.names, kind: order.kind }
  }

  async #askPolicy(set: NameSet, signal: AbortSignal): Promise<void> {
    for (const name of set.names) {
      await this.#ports.policy.check(name, signal).catch((error: unknown) => {
        signal.throwIfAborted()
        throw error instanceof AppError ? error : new PolicyFailedError(name, error)
      })
    }
  }

  /** What another instance, or an earlier life of this one, has obtained. */
  async #stored(set: NameSet, renewing: Renewing | undefined): Promise<CertificateRecord | undefined> {
    const found = await this.#ports.records.read('certificate', set.id)
    const newerThanMs = Math.max(this.#ports.clock.nowMs(), renewing?.certificate.notAfterMs ?? 0)
    return found !== undefined && found.notAfterMs > newerThanMs ? found : undefined
  }

  async #verifyMayTry(set: NameSet): Promise<void> {
    const nowMs = this.#ports.clock.nowMs()
    if (this.#caPause !== undefined && this.#caPause.retryAtMs > nowMs)
      throw new BackingOffError(set.names, this.#caPause)
    const failure = await this.#ports.records.read('failure', set.id)
    if (failure !== undefined && failure.retryAtMs > nowMs) throw new BackingOffError(set.names, failure)
  }

  async #issueAlone(set: NameSet, renewing: Renewing | undefined, signal: AbortSignal): Promise<CertificateRecord> {
    const { records, clock } = this.#ports
    const waitUntilMs = clock.monotonicMs() + this.#config.orderTimeoutMs
    for (;;) {
      signal.throwIfAborted()
      const lock = await records.lock('set', set.id, this.#config.lockHoldMs)
      if (lock !== undefined) {
        await using held = keepLock(lock, records, { holdMs: this.#config.lockHoldMs, clock })
        return await this.#issueLocked(set, renewing, lock, AbortSignal.any([signal, held.signal]))
      }
      // Another instance is at it: its result is as good as ours.
      if (clock.monotonicMs() > waitUntilMs) throw new OrderedElsewhereError(set.names)
      await clock.sleep(this.#config.pollMs * (0.5 + this.#ports.random.float()), signal)
      const theirs = await this.#stored(set, renewing)
      if (theirs !== undefined) return theirs
    }
  }

  async #issueLocked(
    set: NameSet,
    renewing: Renewing | undefined,
    lock: Lock,
    signal: AbortSignal,
  ): Promise<CertificateRecord> {
    const stored = await this.#stored(set, renewing)
    if (stored !== undefined) return stored
    await this.#verifyMayTry(set)
    const { records, clock, random, log, metrics } = this.#ports
    const failure = await records.read('failure', set.id)
    const left = await this.#left(set, renewing)
    if (left === undefined) await this.#budgets.spend(set.names, renewing === undefined ? 'new' : 'renewal', signal)
    const kind = left ? 'resumed' : renewing ? 'renewal' : 'new'
    const startedAtMs = clock.monotonicMs()
    try {
      const record = await this.#order(set, { left, renewing, lock, signal, failures: failure?.count ?? 0 })
      metrics.orders.add({ kind, result: 'issued' })
      metrics.orderSeconds.observe((clock.monotonicMs() - startedAtMs) / 1_000)
      log.info('certificate issued', {
        names: set.names.join(','),
        kind,
        ms: Math.round(clock.monotonicMs() - startedAtMs),
      })
      return record
    } catch (error) {
      metrics.orders.add({ kind, result: error instanceof AppError ? error.code : 'INTERNAL' })
      if (!signal.aborted && isFromCa(error)) {
        const next = nextFailure(failure, error, { nowMs: clock.nowMs(), random })
        if (isCaTrouble(error)) this.#caPause = nextFailure(this.#caPause, error, { nowMs: clock.nowMs(), random })
        await records
          .write('failure', set.id, next, lock)
          .catch((cause: Error) => log.warn('a failure was not stored', { reason: cause.message }))
      }
      throw error
    }
  }

  /**
   * The order that was left behind, unless it is the one that the certificate at hand came from: a crash, or a store that failed,
   * just after that had been stored.
   */
  async #left(set: NameSet, renewing: Renewing | undefined): Promise<OrderRecord | undefined> {
    const order = await this.#ports.records.read('order', set.id)
    return order?.orderUrl === renewing?.certificate.orderUrl ? undefined : order
  }

  /** Carries an order, resumed or new, to a stored certificate. */
  async #order(
    set: NameSet,
    work: {
      left: OrderRecord | undefined
      renewing: Renewing | undefined
      lock: Lock
      signal: AbortSignal
      failures: number
    },
  ): Promise<CertificateRecord> {
    const { client, records, responders, clock, log } = this.#ports
    const { lock, signal } = work
    const { order, keyPem } = await this.#openOrder(set, work)
    const deadlineMs = clock.monotonicMs() + this.#config.orderTimeoutMs
    let certificatePem: string
    try {
      const run = {
        client,
        responders,
        clock,
        pollMs: this.#config.pollMs,
        deadlineMs,
        signal,
        failures: work.failures,
      }
      certificatePem = await runOrder(order, keyPem, run)
      this.#caPause = undefined
    } catch (error) {
      if (!signal.aborted && isFinal(error)) {
        // Neither may hide the reason. An order that stays behind is found useless when it is resumed.
        await records.remove('order', set.id, lock).catch(() => {})
        await abandonOrder(order, client, signal).catch(() => {})
      }
      throw error
    }
    const { notBeforeMs, notAfterMs } = readLeaf(certificatePem)
    const { names, kind } = set
    const record: CertificateRecord = {
      names,
      kind,
      orderUrl: order.url,
      certificatePem,
      keyPem,
      notBeforeMs,
      notAfterMs,
    }
    try {
      await records.write('certificate', set.id, record, lock)
      await records.remove('order', set.id, lock)
      await records.remove('failure', set.id, lock)
    } catch (error) {
      // It exists and is good, so it is served. The order's record still stands: the next look downloads and stores it.
      log.error('a certificate could not be stored', { names: set.names.join(','), error: (error as Error).message })
    }
    return record
  }

  async #openOrder(
    set: NameSet,
    work: { left: OrderRecord | undefined; renewing: Renewing | undefined; lock: Lock; signal: AbortSignal },
  ): Promise<{ order: Order; keyPem: string }> {
    const { records, clock, log } = this.#ports
    const resumed = work.left && (await this.#resume(work.left, work.signal))
    if (resumed !== undefined) {
      log.info('order resumed', { names: set.names.join(','), status: resumed.order.status })
      return resumed
    }
    const keyPem = await createKeyPem()
    const order = await this.#newOrder(set, work.renewing?.renewalId, work.signal)
    const { names, kind } = set
    await records.write(
      'order',
      set.id,
      { names, kind, orderUrl: order.url, keyPem, startedAtMs: clock.nowMs() },
      work.lock,
    )
    return { order, keyPem }
  }

  /** The order left behind, unless the CA has forgotten it or let it lapse. */
  async #resume(left: OrderRecord, signal: AbortSignal): Promise<{ order: Order; keyPem: string } | undefined> {
    try {
      const { value: order } = await this.#ports.client.order(left.orderUrl, signal)
      const lapsed = order.status === 'invalid' && this.#ports.clock.nowMs() - left.startedAtMs > resumeMsMax
      return lapsed ? undefined : { order, keyPem: left.keyPem }
    } catch (error) {
      if (error instanceof AcmeProblemError && isFinal(error)) return undefined
      throw error
    }
  }

  async #newOrder(set: NameSet, replaces: string | undefined, signal: AbortSignal): Promise<Order> {
    const { client } = this.#ports
    const { profile } = this.#config
    try {
      return await client.newOrder(set.names, { replaces, profile }, signal)
    } catch (error) {
      // The CA may refuse `replaces`, for example since a replacement was ordered already; the renewal must not depend on it.
      if (replaces === undefined || !(error instanceof AcmeProblemError) || !isFinal(error)) throw error
      return client.newOrder(set.names, { profile }, signal)
    }
  }
}

/** Whether the failure came out of the conversation with the CA, and so counts for the ladder. */
function isFromCa(error: unknown): boolean {
  return isFinal(error) || error instanceof AcmeProblemError || isCaTrouble(error)
}

/** Whether the last word on an order is spoken, so that it is of no further use. */
function isFinal(error: unknown): boolean {
  if (error instanceof NoChallengeError || error instanceof CertificateUnusableError) return true
  return error instanceof AcmeProblemError && !isCaTrouble(error) && error.problem.type !== 'rateLimited'
}
