import type { Clock } from '../../core/clock.ts'
import type { CompressedSink, CompressingBody } from '../compress/compressing-body.ts'
import type { Exchange } from '../forward/exchange.ts'
import type { SiteRate } from '../guard/site-rates.ts'
import type { FieldBlock } from '../http1/field-block.ts'

/** Whoever feeds the answer. */
export interface AnswerFeeder {
  /** More of the answer may come. */
  resumeHost(): void
  /** The answer cannot be completed. */
  shapingFailed(): void
}

const waitsForClient = 1
const waitsForRate = 2

/** The body of an answer that does not pass as it comes: it is compressed, held to the site's bandwidth, or both. */
export class ShapedAnswer implements CompressedSink {
  readonly #exchange: Exchange
  readonly #feeder: AnswerFeeder
  readonly #rate: SiteRate | undefined
  readonly #clock: Clock
  #compressor: CompressingBody | undefined = undefined
  #waits = 0
  #timer: Disposable | undefined = undefined

  constructor(exchange: Exchange, feeder: AnswerFeeder, rate: SiteRate | undefined, clock: Clock) {
    this.#exchange = exchange
    this.#feeder = feeder
    this.#rate = rate
    this.#clock = clock
  }

  compressWith(compressor: CompressingBody): void {
    this.#compressor = compressor
  }

  /** Takes a part of the plain body. Returns as `Exchange.write` does. */
  write(part: Buffer): boolean {
    return this.#compressor ? this.#compressor.write(part) : this.#send(part)
  }

  end(trailers: FieldBlock | undefined): void {
    if (this.#compressor) this.#compressor.end()
    else this.#finish(trailers)
  }

  clientDrained(): void {
    this.#waits &= ~waitsForClient
    this.#go()
  }

  destroy(): void {
    this.#timer?.[Symbol.dispose]()
    this.#compressor?.destroy()
  }

  // --- CompressedSink

  onPart(part: Buffer): boolean {
    return this.#send(part)
  }

  onEnd(): void {
    // Trailers may hold digests of the plain body.
    this.#finish(undefined)
  }

  onDrain(): void {
    this.#feeder.resumeHost()
  }

  onError(): void {
    this.destroy()
    this.#feeder.shapingFailed()
  }

  #send(part: Buffer): boolean {
    if (!this.#exchange.write(part)) this.#waits |= waitsForClient
    this.paced(part.length)
    return this.#waits === 0
  }

  /** Counts bytes that were sent; when they are ahead of the site's rate, what follows waits. */
  paced(bytes: number): void {
    const pauseMs = this.#rate ? this.#rate.send(bytes, this.#clock.monotonicMs()) : 0
    if (pauseMs === 0 || this.#exchange.over) return
    this.#waits |= waitsForRate
    this.#timer = this.#clock.schedule(pauseMs, () => {
      this.#waits &= ~waitsForRate
      this.#go()
    })
  }

  get waiting(): boolean {
    return this.#waits !== 0
  }

  #go(): void {
    if (this.#waits !== 0) return
    if (this.#compressor) this.#compressor.resume()
    else this.#feeder.resumeHost()
  }

  #finish(trailers: FieldBlock | undefined): void {
    this.#timer?.[Symbol.dispose]()
    this.#exchange.end(trailers)
  }
}
