import type { Clock } from '../../core/clock.ts'
import type { CounterMetric, GaugeMetric } from '../../core/metrics.ts'
import { CaReplyError, CaUnreachableError } from '../errors.ts'
import type { AccountKey } from './jws.ts'
import { NoncePool } from './nonce-pool.ts'
import { parseRetryAfter } from './poll.ts'
import { type AcmeProblemError, parseProblem, problemError } from './problem.ts'
import { type Directory, directoryShape, parseReply } from './resources.ts'
import type { AcmeReply, AcmeTransport } from './transport.ts'

export interface SessionOptions {
  directoryUrl: string
  transport: AcmeTransport
  clock: Clock
  /** Longest wait that a `Retry-After` of the CA can impose. */
  retryAfterMsMax: number
  requests: CounterMetric
  clockOffset: GaugeMetric
}

export interface SignedCall {
  url: string
  /** Undefined makes a POST-as-GET. */
  payload?: unknown
  key: AccountKey
  /** Account URL; absent only in newAccount. */
  kid?: string | undefined
  signal: AbortSignal
}

// With a fifth of all nonces refused, ten attempts in a row fail once in ten million calls.
const badNonceAttemptsMax = 10

/** Signed conversation with one CA: directory, nonces, problem documents. Every attempt is signed anew with a nonce of its own. */
export class AcmeSession {
  #options: SessionOptions
  #nonces: NoncePool
  #directory: Directory | undefined

  constructor(options: SessionOptions) {
    this.#options = options
    this.#nonces = new NoncePool(options.clock)
  }

  /** The directory, read once per session. @throws CaUnreachableError, CaReplyError */
  async directory(signal: AbortSignal): Promise<Directory> {
    this.#directory ??= parseReply(directoryShape, await this.get(this.#options.directoryUrl, signal), 'directory')
    return this.#directory
  }

  /** An unsigned read. @throws AcmeProblemError when refused */
  async get(url: string, signal: AbortSignal): Promise<AcmeReply> {
    return this.#accept(await this.#exchange('GET', url, undefined, signal))
  }

  /**
   * A signed POST. Only a refused nonce is answered with another attempt here; waiting is the caller's business. A read
   * (POST-as-GET) is repeated once when the connection breaks; a write never is, since it may have been carried out.
   * @throws AcmeProblemError, CaUnreachableError, CaReplyError
   */
  async post(call: SignedCall): Promise<AcmeReply> {
    let broken = 0
    for (let attempt = 1; ; attempt++) {
      const body = await call.key.sign(call.payload, {
        url: call.url,
        nonce: await this.#nonce(call.signal),
        kid: call.kid,
      })
      try {
        return this.#accept(await this.#exchange('POST', call.url, body, call.signal))
      } catch (error) {
        const nonceRefused =
          (error as Partial<AcmeProblemError>).problem?.type === 'badNonce' && attempt < badNonceAttemptsMax
        const readBroken = error instanceof CaUnreachableError && call.payload === undefined && broken++ === 0
        if (!nonceRefused && !readBroken) throw error
      }
    }
  }

  async #nonce(signal: AbortSignal): Promise<string> {
    const ready = this.#nonces.take()
    if (ready !== undefined) return ready
    const { newNonce } = await this.directory(signal)
    await this.#exchange('HEAD', newNonce, undefined, signal)
    const fresh = this.#nonces.take()
    if (fresh === undefined) throw new CaReplyError('The certificate authority sent no nonce.')
    return fresh
  }

  async #exchange(
    method: 'GET' | 'HEAD' | 'POST',
    url: string,
    body: string | undefined,
    signal: AbortSignal,
  ): Promise<AcmeReply> {
    const { transport, requests } = this.#options
    const reply = await transport.send(method, url, body, signal).catch((error: unknown) => {
      requests.add({ method, outcome: 'unreachable' })
      throw error
    })
    this.#nonces.add(reply.headers['replay-nonce'])
    requests.add({ method, outcome: reply.status < 400 ? 'ok' : 'refused' })
    this.#compareClocks(reply)
    return reply
  }

  /** A wrong clock here makes certificates look expired, or not yet valid; the CA's `Date` shows it. */
  #compareClocks(reply: AcmeReply): void {
    const offsetMs = Date.parse(reply.headers.date ?? '') - this.#options.clock.nowMs()
    if (!Number.isNaN(offsetMs)) this.#options.clockOffset.set(Math.round(offsetMs / 1_000))
  }

  #accept(reply: AcmeReply): AcmeReply {
    if (reply.status >= 200 && reply.status < 300) return reply
    throw problemError({ problem: parseProblem(jsonOf(reply), reply.status), retryAfterMs: this.retryAfterMs(reply) })
  }

  /** What the reply asks us to wait, capped. */
  retryAfterMs(reply: AcmeReply): number | undefined {
    const { clock, retryAfterMsMax } = this.#options
    return parseRetryAfter(reply.headers['retry-after'], clock.nowMs(), retryAfterMsMax)
  }
}

function jsonOf(reply: AcmeReply): unknown {
  try {
    return JSON.parse(reply.body.toString())
  } catch {
    return undefined
  }
}
