import type { Random } from '../../core/random.ts'
import { LoopError } from '../errors.ts'
import { Field } from '../http1/known-fields.ts'
import type { FieldBlock } from '../http1/field-block.ts'

const idBytes = 8
const idBatch = 512
const hex = Buffer.from('0123456789abcdef')

/** Passing ten other networks in a row is no route that anybody planned. */
const loopsMax = 10

/**
 * The fields that the gateway adds to every request to a host: `Via` (RFC 9110 §7.6.3), `CDN-Loop` (RFC 8586) and a request id. Put
 * together once, so that a request costs one copy and sixteen digits.
 */
export class RequestLines {
  readonly #random: Random
  readonly #loopId: string
  readonly #template: Buffer
  readonly #idAt: number
  #batch: Uint8Array = new Uint8Array(0)
  #next = 0

  /** @param loopId - this gateway's name in Via and CDN-Loop: its zone */
  constructor(loopId: string, random: Random) {
    this.#random = random
    this.#loopId = loopId.toLowerCase()
    const head = `Via: 1.1 ${loopId}\r\nCDN-Loop: ${loopId}\r\nX-Request-Id: `
    this.#template = Buffer.from(`${head}${'0'.repeat(idBytes * 2)}\r\n`)
    this.#idAt = head.length
  }

  /**
   * The lines for a request with these fields.
   * @throws LoopError when the request has been here before
   */
  of(fields: FieldBlock): Buffer {
    const passed = fields.find(Field.cdnLoop)
    const via = fields.find(Field.via)
    if (passed >= 0 || via >= 0) this.#checkLoop(fields)
    const lines = Buffer.allocUnsafe(this.#template.length)
    this.#template.copy(lines)
    this.#writeId(lines, this.#idAt)
    return passed < 0 ? lines : Buffer.concat([this.#passedLines(fields), lines])
  }

  #writeId(out: Buffer, at: number): void {
    if (this.#next + idBytes > this.#batch.length) {
      this.#batch = this.#random.bytes(idBytes * idBatch)
      this.#next = 0
    }
    for (let i = 0; i < idBytes; i++) {
      const byte = this.#batch[this.#next++] as number
      out[at++] = hex[byte >> 4] as number
      out[at++] = hex[byte & 15] as number
    }
  }

  #checkLoop(fields: FieldBlock): void {
    let passed = 0
    for (let i = 0; i < fields.count; i++) {
      const code = fields.code[i]
      if (code !== Field.cdnLoop && code !== Field.via) continue
      for (const entry of fields.value(i).split(',')) {
        // "1.1 name (comment)" in Via, "name; parameters" in CDN-Loop.
        const words = entry.trim().split(/[\s;]+/)
        const name = (code === Field.via ? words[1] : words[0])?.toLowerCase()
        if (name === this.#loopId) throw new LoopError(this.#loopId)
        if (code === Field.cdnLoop && ++passed > loopsMax) throw new LoopError(this.#loopId)
      }
    }
  }

  /** What others wrote into CDN-Loop stays in front of ours (RFC 8586 §2). */
  #passedLines(fields: FieldBlock): Buffer {
    let text = ''
    for (let i = fields.find(Field.cdnLoop); i >= 0; i = fields.find(Field.cdnLoop, i + 1))
      text += `CDN-Loop: ${fields.value(i)}\r\n`
    return Buffer.from(text, 'latin1')
  }
}
