import type { Clock } from '../../core/clock.ts'
import type { Encoding } from '../compress/choose-encoding.ts'
import { rewriteForEncoding } from '../compress/compressed-head.ts'
import type { CompressedSink, CompressingBody } from '../compress/compressing-body.ts'
import type { Compressors } from '../compress/compressors.ts'
import type { AnswerHead, Exchange } from '../forward/exchange.ts'
import type { SiteRate } from '../guard/site-rates.ts'
import { type FieldBlock, releaseBlock } from '../http1/field-block.ts'

/** Whoever feeds the answer. */
export interface AnswerFeeder {
  /** More of the answer may come. */
  resumeHost(): void
  /** The answer cannot be completed. */
  shapingFailed(): void
}

export interface ShapingPorts {
  compressors: Compressors
  clock: Clock
}

const waitsForClient = 1
const waitsForRate = 2

/** An answer that does not pass as it comes: it is compressed, held to the site's bandwidth, or both. */
export class ShapedAnswer implements CompressedSink {
  readonly #exchange: Exchange
  readonly #feeder: AnswerFeeder
  readonly #rate: SiteRate | undefined
  readonly #ports: ShapingPorts
  #compressor: CompressingBody | undefined = undefined
  /** A whole body that waits for the site's bandwidth. */
  #late: Buffer | undefined = undefined
  #waits = 0
  #timer: Disposable | undefined = undefined

  constructor(exchange: Exchange, feeder: AnswerFeeder, rate: SiteRate | undefined, ports: ShapingPorts) {
    this.#exchange = exchange
    this.#feeder = feeder
    this.#rate = rate
    this.#ports = ports
  }

  /**
   * Sends the head with what there is of the body. Takes and returns the same as `Exchange.answer`.
   * @param encoding - to compress with, while compressors are free and the body becomes smaller
   */
  answer(head: AnswerHead, part: Buffer | undefined, last: boolean, encoding: Encoding | undefined): boolean {
    if (!encoding) return this.#begin(head, part, last)
    const { compressors } = this.#ports
    const whole = last && part ? compressors.whole(encoding, part) : undefined
    if (!last) this.#compressor = compressors.start(encoding, this)
    if (!whole && !this.#compressor) return this.#begin(head, part, last)
    const added = rewriteForEncoding(head.fields, encoding)
    head.extra = [...head.extra, added]
    head.bodyBytes = whole?.length ?? -1
    this.#begin(head, whole, last)
    releaseBlock(added)
    return part && this.#compressor ? this.#compressor.write(part) : true
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
    this.#late = undefined
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

  // --- inside

  #begin(head: AnswerHead, part: Buffer | undefined, last: boolean): boolean {
    const owedMs = last && part && this.#rate ? this.#rate.owedMs(this.#ports.clock.monotonicMs()) : 0
    if (owedMs > 0) {
      this.#exchange.answer(head, undefined, false)
      this.#late = Buffer.from(part as Buffer)
      this.#pause(owedMs)
      return true
    }
    if (!this.#exchange.answer(head, part, last)) this.#waits |= waitsForClient
    this.#count(part?.length ?? 0)
    return this.#waits === 0
  }

  #send(part: Buffer): boolean {
    if (!this.#exchange.write(part)) this.#waits |= waitsForClient
    this.#count(part.length)
    return this.#waits === 0
  }

  /** Counts bytes that were sent; when they are ahead of the site's rate, what follows waits. */
  #count(bytes: number): void {
    const pauseMs = this.#rate ? this.#rate.send(bytes, this.#ports.clock.monotonicMs()) : 0
    if (pauseMs > 0 && !this.#exchange.over) this.#pause(pauseMs)
  }

  #pause(ms: number): void {
    this.#waits |= waitsForRate
    this.#timer = this.#ports.clock.schedule(ms, () => {
      this.#waits &= ~waitsForRate
      this.#go()
    })
  }

  #go(): void {
    if (this.#waits !== 0) return
    const late = this.#late
    if (late) {
      this.#late = undefined
      this.#send(late)
      this.#finish(undefined)
    } else if (this.#compressor) this.#compressor.resume()
    else this.#feeder.resumeHost()
  }

  #finish(trailers: FieldBlock | undefined): void {
    this.#timer?.[Symbol.dispose]()
    this.#exchange.end(trailers)
  }
}
