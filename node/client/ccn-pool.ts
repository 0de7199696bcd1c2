import type { Clock } from '../../core/clock.ts'
import { AnswerForgedError, NetworkUnreachableError, PublishRefusedError, UnknownItemError } from './errors.ts'

/** What `fetch` takes as a body. */
export type RequestBody = NonNullable<RequestInit['body']>

export interface AskOptions {
  signal: AbortSignal
  method?: string
  body?: RequestBody
  contentType?: string
}

/** Asks core channel nodes, the one that answered last first, and goes on to the next when one fails or lies. */
export interface CcnPool {
  /**
   * Hands each node's answer to `read` until one gives a value.
   * @param read - throws for an answer that does not verify; `undefined` says that this node does not have it
   * @throws UnknownItemError when every answer was 404, AnswerForgedError when one did not verify, else NetworkUnreachableError
   */
  ask<T>(
    path: string,
    what: string,
    options: AskOptions,
    read: (response: Response, url: string) => Promise<T | undefined>,
  ): Promise<T>
  /** Base URLs in the order they would be asked now. */
  urls(): string[]
}

/** @param urls - base URLs, best first */
export function createCcnPool(urls: readonly string[], clock: Clock, timeoutMs: number): CcnPool {
  const order = urls.map((url) => url.replace(/\/+$/, ''))
  const prefer = (url: string): void => {
    const at = order.indexOf(url)
    if (at > 0) order.unshift(...order.splice(at, 1))
  }

  async function request(url: string, options: AskOptions): Promise<Response> {
    const slow = new AbortController()
    // Covers the head of the answer only: a large file may take long.
    using _timer = clock.schedule(timeoutMs, () => slow.abort(new Error(`No answer within ${timeoutMs} ms.`)))
    return await fetch(url, {
      method: options.method ?? 'GET',
      signal: AbortSignal.any([options.signal, slow.signal]),
      redirect: 'error',
      ...(options.body === undefined ? {} : { body: options.body }),
      ...(options.contentType === undefined ? {} : { headers: { 'content-type': options.contentType } }),
    })
  }

  return {
    urls: () => [...order],
    async ask(path, what, options, read) {
      let missing = 0
      let forged: unknown
      let failed: unknown
      for (const url of [...order]) {
        let response: Response
        try {
          response = await request(url + path, options)
        } catch (error) {
          options.signal.throwIfAborted()
          failed = error
          continue
        }
        if (response.status === 404) {
          await response.body?.cancel()
          missing++
          continue
        }
        if (response.status >= 500) {
          await response.body?.cancel()
          failed = new Error(`${url} answered ${response.status}.`)
          continue
        }
        try {
          const value = await read(response, url)
          if (value === undefined) missing++
          else {
            prefer(url)
            return value
          }
        } catch (error) {
          options.signal.throwIfAborted()
          // What is wrong with a message of ours is as wrong at the next node.
          if (error instanceof PublishRefusedError) throw error
          forged = error
        }
      }
      if (forged !== undefined)
        throw new AnswerForgedError(`What nodes gave for ${what} does not verify.`, { cause: forged })
      if (failed === undefined || missing > 0) throw new UnknownItemError(`No node of the network knows ${what}.`)
      throw new NetworkUnreachableError(`No node of the network answered for ${what}.`, {
        cause: failed,
        hint: 'Check ccnUrls, and that the core channel node runs.',
      })
    },
  }
}

/** Reads an answer as JSON, at most `bytesMax` bytes. @throws Error for anything else */
export async function readJsonAnswer(response: Response, bytesMax: number): Promise<unknown> {
  return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(await readBytesAnswer(response, bytesMax)))
}

/** Reads an answer whole. @throws Error past `bytesMax` or for a status that is no success */
export async function readBytesAnswer(response: Response, bytesMax: number): Promise<Uint8Array> {
  if (!response.ok) {
    await response.body?.cancel()
    throw new Error(`The node answered ${response.status}.`)
  }
  const parts: Uint8Array[] = []
  let total = 0
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    total += chunk.length
    if (total > bytesMax) throw new Error(`The answer has more than ${bytesMax} bytes.`)
    parts.push(chunk)
  }
  return Buffer.concat(parts)
}
