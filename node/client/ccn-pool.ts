import type { Clock } from '../../core/clock.ts'
import { AnswerForgedError, NetworkUnreachableError, PublishRefusedError, UnknownItemError } from './errors.ts'
import { AnswerTooLongError, answerBytes, chunksUnlessSilent, NotServedError } from './read-answer.ts'

/** What `fetch` takes as a body. */
export type RequestBody = NonNullable<RequestInit['body']>

export interface AskOptions {
  signal: AbortSignal
  /** Longest answer that is read. */
  bytesMax: number
  method?: string
  body?: RequestBody
  contentType?: string
  /** How long this answer may take, instead of `timeoutMs` for its start and `answerTimeoutMs` for all of it. */
  withinMs?: number
  /** Base URL of a node that is not asked. */
  except?: string
}

/** A whole answer, of any status but 404 and 5xx. */
export interface Answer {
  /** Base URL of the node. */
  url: string
  status: number
  ok: boolean
  bytes: Uint8Array
}

export interface CcnPoolOptions {
  clock: Clock
  timeoutMs: number
  answerTimeoutMs: number
  silenceTimeoutMs: number
}

/** Asks core channel nodes, the one that answered last first, and goes on to the next when one fails, stalls or lies. */
export interface CcnPool {
  /**
   * Hands each node's answer to `read` until one gives a value.
   * @param read - throws for an answer that does not verify; `undefined` says that this node does not have it
   * @throws UnknownItemError when every answer was 404, AnswerForgedError when one did not verify, else NetworkUnreachableError
   */
  ask<T>(path: string, what: string, options: AskOptions, read: (answer: Answer) => Promise<T | undefined>): Promise<T>
  /**
   * Bytes of a file, unverified. When a node fails or falls silent on the way, the next one gives the rest.
   * @param onSender - called with the base URL of each node before bytes of it are given out
   * @throws UnknownItemError when every answer was 404, else NetworkUnreachableError
   */
  stream(path: string, what: string, signal: AbortSignal, onSender: (url: string) => void): AsyncIterable<Uint8Array>
  /** Asks this node last for a minute. For what shows only after its answer was passed on. */
  distrust(url: string): void
  /** Base URLs in the order they would be asked now. */
  urls(): string[]
}

const distrustMs = 60_000

/** @param urls - base URLs, best first */
export function createCcnPool(urls: readonly string[], options: CcnPoolOptions): CcnPool {
  const { clock, timeoutMs, answerTimeoutMs, silenceTimeoutMs } = options
  const order = urls.map((url) => url.replace(/\/+$/, ''))
  const distrusted = new Map<string, number>()
  const isDistrusted = (url: string): boolean => (distrusted.get(url) ?? 0) > clock.monotonicMs()
  const inOrder = (): string[] => [
    ...order.filter((url) => !isDistrusted(url)),
    ...order.filter((url) => isDistrusted(url)),
  ]
  const prefer = (url: string): void => {
    const at = order.indexOf(url)
    if (at > 0) order.unshift(...order.splice(at, 1))
  }
  /** Resolves with the head of an answer. */
  const open = async (url: string, signal: AbortSignal, slow: AbortController, init: RequestInit, withinMs: number) => {
    using _timer = clock.schedule(withinMs, () => slow.abort(new Error(`No answer within ${withinMs} ms.`)))
    return await fetch(url, { ...init, signal: AbortSignal.any([signal, slow.signal]), redirect: 'error' })
  }

  async function fetchWhole(url: string, path: string, ask: AskOptions): Promise<Answer> {
    const wholeMs = ask.withinMs ?? answerTimeoutMs
    const slow = new AbortController()
    using _timer = clock.schedule(wholeMs, () => slow.abort(new Error(`No whole answer within ${wholeMs} ms.`)))
    try {
      const response = await open(url + path, ask.signal, slow, initOf(ask), ask.withinMs ?? timeoutMs)
      const { status, ok } = response
      return { url, status, ok, bytes: await answerBytes(response, ask.bytesMax) }
    } catch (error) {
      if (error instanceof AnswerTooLongError) throw error
      throw new NotServedError(`${url} did not answer.`, { cause: error })
    }
  }

  return {
    urls: inOrder,
    distrust: (url) => void distrusted.set(url, clock.monotonicMs() + distrustMs),
    async ask(path, what, ask, read) {
      const tried = new Outcomes(what)
      for (const url of inOrder().filter((candidate) => candidate !== ask.except)) {
        try {
          const answer = await fetchWhole(url, path, ask)
          if (tried.isNone(answer)) continue
          const value = await read(answer)
          if (value === undefined) tried.missing++
          else {
            prefer(url)
            return value
          }
        } catch (error) {
          ask.signal.throwIfAborted()
          // What is wrong with a message of ours is as wrong at the next node.
          if (error instanceof PublishRefusedError) throw error
          tried.add(error)
        }
      }
      throw tried.toError()
    },
    async *stream(path, what, signal, onSender) {
      const tried = new Outcomes(what)
      let given = 0
      for (const url of inOrder()) {
        const slow = new AbortController()
        try {
          const response = await open(url + path, signal, slow, {}, timeoutMs)
          if (tried.isNone({ url, status: response.status })) {
            response.body?.cancel().catch(() => {})
            continue
          }
          if (!response.ok) throw new NotServedError(`${url} answered ${response.status}.`)
          let skip = given
          for await (const chunk of chunksUnlessSilent(response, { clock, silenceTimeoutMs, slow })) {
            const rest = chunk.subarray(Math.min(skip, chunk.length))
            skip -= chunk.length - rest.length
            if (rest.length === 0) continue
            given += rest.length
            onSender(url)
            yield rest
          }
          if (skip > 0) throw new NotServedError(`${url} has ${skip} bytes less than the node before it.`)
          prefer(url)
          return
        } catch (error) {
          signal.throwIfAborted()
          tried.failed = error
        }
      }
      throw tried.toError()
    },
  }
}

function initOf({ method = 'GET', body, contentType }: AskOptions): RequestInit {
  return {
    method,
    ...(body === undefined ? {} : { body }),
    ...(contentType === undefined ? {} : { headers: { 'content-type': contentType } }),
  }
}

/** What became of a question at each node, and the error that follows when none had a value. */
class Outcomes {
  readonly #what: string
  missing = 0
  failed: unknown
  #forged: unknown

  constructor(what: string) {
    this.#what = what
  }

  /** Whether the status alone says that this node has no answer. */
  isNone({ url, status }: { url: string; status: number }): boolean {
    if (status !== 404 && status < 500) return false
    if (status === 404) this.missing++
    else this.failed = new NotServedError(`${url} answered ${status}.`)
    return true
  }

  /** What an answer needed may be out of reach too (rights, content), which is nobody's lie. */
  add(error: unknown): void {
    const failed = [NotServedError, NetworkUnreachableError, DOMException].some((kind) => error instanceof kind)
    if (failed) this.failed = error
    else this.#forged = error
  }

  toError(): Error {
    if (this.#forged !== undefined) {
      const message = `What nodes gave for ${this.#what} does not verify.`
      return new AnswerForgedError(message, { cause: this.#forged })
    }
    if (this.failed === undefined || this.missing > 0)
      return new UnknownItemError(`No node of the network knows ${this.#what}.`)
    return new NetworkUnreachableError(`No node of the network answered for ${this.#what}.`, {
      cause: this.failed,
      hint: 'Check ccnUrls, and that the core channel node runs.',
    })
  }
}
