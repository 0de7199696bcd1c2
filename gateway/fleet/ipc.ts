import { ProcessBusyError, ProcessGoneError } from './errors.ts'
import { decodeError, encodeError, type WireError } from './wire-error.ts'

/** One end of a channel between two processes: a forked child, `process` in that child, or a fake. Messages arrive in order. */
export interface IpcPort {
  /** Throws when the message cannot be copied. `done` is told once it is on its way, or that it never will be. */
  send(message: unknown, done: (error: Error | null) => void): void
  onMessage(listener: (message: unknown) => void): void
  /** The other process is gone, or has closed the channel. */
  onClose(listener: () => void): void
}

/** What one side may ask of the other: methods with one argument. The signal aborts when the asker no longer waits. */
// biome-ignore lint/suspicious/noExplicitAny: the argument differs from method to method
export type Methods<T> = { [Name in keyof T]: (argument: any, signal: AbortSignal) => unknown }

type Argument<F> = F extends (argument: infer A, ...rest: never[]) => unknown ? A : never
type Answer<F> = F extends (...parameters: never[]) => infer R ? Awaited<R> : never

type Message =
  | { type: 'call'; id: number; method: string; argument: unknown }
  | { type: 'abort'; id: number }
  | { type: 'answer'; id: number; value: unknown }
  | { type: 'failure'; id: number; error: WireError }
  | { type: 'notice'; method: string; argument: unknown }

interface Waiting {
  resolve(value: never): void
  reject(error: unknown): void
  forget(): void
}

/** Questions that wait for an answer of the other process. One busy worker has some hundreds (lookups, handshakes, blocks). */
const callsMax = 4_096
/** Messages that the channel has not taken yet: beyond it the other process hangs, and more would only fill memory. */
const unsentMax = 8_192

/**
 * Questions and answers between two processes, typed by the interface of the other side. Errors cross as they are (`RemoteError`);
 * aborting a signal stops the waiting at once, and the work on the other side as soon as it notices.
 */
export class IpcPeer<Theirs extends Methods<Theirs>> {
  readonly #port: IpcPort
  readonly #ours: Readonly<Record<string, (argument: never, signal: AbortSignal) => unknown>>
  readonly #waiting = new Map<number, Waiting>()
  readonly #working = new Map<number, AbortController>()
  #nextId = 1
  #unsent = 0
  #closed = false

  /** @param ours - plain object of what the other side may ask of this one; notices may call any of them, their result is dropped */
  constructor(port: IpcPort, ours: object) {
    this.#port = port
    this.#ours = ours as never
    port.onMessage((message) => this.#take(message as Message))
    port.onClose(() => this.#close())
  }

  /** @throws what the other side throws; the signal's reason; ProcessGoneError, ProcessBusyError */
  call<Name extends keyof Theirs & string>(
    method: Name,
    argument: Argument<Theirs[Name]>,
    signal?: AbortSignal,
  ): Promise<Answer<Theirs[Name]>> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      if (this.#closed) throw new ProcessGoneError()
      if (this.#waiting.size >= callsMax || this.#unsent >= unsentMax) throw new ProcessBusyError(callsMax)
      const id = this.#nextId++
      const onAbort = (): void => {
        this.#settle(id)?.reject(signal?.reason)
        this.#send({ type: 'abort', id })
      }
      signal?.addEventListener('abort', onAbort)
      this.#waiting.set(id, { resolve, reject, forget: () => signal?.removeEventListener('abort', onAbort) })
      this.#send({ type: 'call', id, method, argument })
    })
  }

  /** Tells the other side something that needs no answer. Dropped when the other side hangs or is gone. */
  notify<Name extends keyof Theirs & string>(method: Name, argument: Argument<Theirs[Name]>): void {
    if (!this.#closed && this.#unsent < unsentMax) this.#send({ type: 'notice', method, argument })
  }

  #send(message: Message): void {
    if (this.#closed) return
    this.#unsent++
    try {
      this.#port.send(message, (error) => {
        this.#unsent--
        if (error && message.type === 'call') this.#settle(message.id)?.reject(new ProcessGoneError({ cause: error }))
      })
    } catch (error) {
      this.#unsent--
      if (message.type === 'call') this.#settle(message.id)?.reject(error)
      else if (message.type === 'answer') this.#send({ type: 'failure', id: message.id, error: encodeError(error) })
      else if (message.type === 'failure') this.#send({ ...message, error: withoutDetails(message.error) })
    }
  }

  #take(message: Message): void {
    switch (message.type) {
      case 'call':
        void this.#answer(message.id, message.method, message.argument)
        break
      case 'abort':
        this.#working.get(message.id)?.abort()
        break
      case 'answer':
        this.#settle(message.id)?.resolve(message.value as never)
        break
      case 'failure':
        this.#settle(message.id)?.reject(decodeError(message.error))
        break
      case 'notice':
        this.#run(message.method, message.argument, new AbortController().signal).catch(() => {})
    }
  }

  async #answer(id: number, method: string, argument: unknown): Promise<void> {
    const abort = new AbortController()
    this.#working.set(id, abort)
    try {
      this.#send({ type: 'answer', id, value: await this.#run(method, argument, abort.signal) })
    } catch (error) {
      this.#send({ type: 'failure', id, error: encodeError(error) })
    } finally {
      this.#working.delete(id)
    }
  }

  async #run(method: string, argument: unknown, signal: AbortSignal): Promise<unknown> {
    const run = Object.hasOwn(this.#ours, method) ? this.#ours[method] : undefined
    if (!run) throw new Error(`there is no method ${method}`)
    return run.call(this.#ours, argument as never, signal)
  }

  #settle(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    waiting?.forget()
    return waiting
  }

  #close(): void {
    this.#closed = true
    for (const id of [...this.#waiting.keys()]) this.#settle(id)?.reject(new ProcessGoneError())
    for (const abort of this.#working.values()) abort.abort()
  }
}

/** Details come from anywhere; where they cannot be copied the rest of the error still tells what happened. */
function withoutDetails({ app, cause: _, ...error }: WireError): WireError {
  return app ? { ...error, app: { fault: app.fault, status: app.status, ...(app.hint && { hint: app.hint }) } } : error
}
