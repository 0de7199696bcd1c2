import assert from 'node:assert/strict'
import type { Random } from '../../../core/random.ts'
import { blockOf, releaseBlock } from '../../../gateway/http1/field-block.ts'
import { http2ConfigSchema } from '../../../gateway/http2/config.ts'
import { HpackDecoder } from '../../../gateway/http2/hpack-decoder.ts'
import { HpackEncoder } from '../../../gateway/http2/hpack-encoder.ts'
import { ReceivedHead, releaseFields } from '../../../gateway/http2/received-head.ts'
import { frame } from '../../../gateway/listen/http2/testing/raw-client.ts'
import { mutate } from '../mutate.ts'
import { Picker } from '../pick.ts'
import type { FuzzTarget } from '../target.ts'
import { assertSubset } from './compare.ts'
import { greeting } from './frames.ts'
import { http2Words, makeBlock } from './generate.ts'
import { converse } from './memory-server.ts'
import { nodeHttp2Session } from './node-oracle.ts'

const limits = { ...http2ConfigSchema.parse({}), headBytesMax: 16_384, headFieldsMax: 100, uriBytesMax: 8_192 }
const head = new ReceivedHead(limits)
/** Ends each header block of an input but the last; no block that means anything begins with it. */
const separator = Buffer.from([0x00, 0x00, 0x00, 0xfe])

/** Header blocks, one after the other on one connection, with `separator` between them. */
export const target: FuzzTarget = {
  name: 'hpack',
  secondsMax: 10,
  make(random: Random, seeds: readonly Buffer[]): Buffer {
    const pick = new Picker(random)
    const blocks = [makeBlock(pick)]
    while (pick.oneIn(3)) blocks.push(separator, makeBlock(pick))
    const base = seeds.length > 0 && pick.oneIn(3) ? pick.of(seeds) : Buffer.concat(blocks)
    return pick.oneIn(2) ? base : mutate(pick, base, http2Words, seeds)
  },
  async check(input) {
    const blocks = split(input)
    const outcome = checkDecoder(blocks)
    checkEncoder(input)
    const frames = blocks.map((block, i) => frame(1, 5, 1 + 2 * i, block.subarray(0, 16_384)))
    const bytes = Buffer.concat([greeting, ...frames])
    const seen = await converse([bytes])
    assert.deepEqual(seen.failures, [])
    assertSubset(seen, await nodeHttp2Session(bytes))
    return outcome
  },
}

function split(input: Buffer): Buffer[] {
  const blocks: Buffer[] = []
  for (let at = 0; ; ) {
    const end = input.indexOf(separator, at)
    blocks.push(input.subarray(at, end < 0 ? input.length : end))
    if (end < 0) return blocks
    at = end + separator.length
  }
}

/** Hostile blocks: nothing throws, what is accepted makes lines that can be copied into any message, memory stays within its bounds. */
function checkDecoder(blocks: readonly Buffer[]): string {
  const decoder = new HpackDecoder(limits.headerTableBytes)
  const outcomes: string[] = []
  for (const block of blocks) {
    head.start()
    const error = decoder.decode(block, 0, block.length, head)
    assert.ok(head.end <= head.bytes.length)
    assert.ok(head.listBytes <= limits.headerListBytesMax + 65_536)
    assert.ok(decoder.table.size <= limits.headerTableBytes)
    outcomes.push(
      error !== 0
        ? `error ${error}`
        : head.malformed
          ? 'malformed'
          : head.tooLarge || head.tooMany
            ? 'too much'
            : 'good',
    )
    if (error !== 0 || head.malformed) head.drop()
    else {
      const fields = head.takeFields()
      for (const [i, text] of fields.pairs().entries())
        assert.match(text, i % 2 === 0 ? /^[!#$%&'*+\-.^_`|~0-9a-z]+$/ : /^[\t\x20-\x7e\x80-\xff]*$/)
      releaseFields(fields)
    }
    if (error !== 0) break
  }
  return outcomes.slice(-2).join(', ')
}

/** Fields made of the input, encoded twice (with the table empty, then filled), are decoded to the same. */
function checkEncoder(input: Buffer): void {
  const pairs: string[] = []
  for (let at = 0; at < input.length && pairs.length < 60; at += 12) {
    const name = Array.from(input.subarray(at, at + 4), (byte) => String.fromCharCode(0x61 + (byte % 26))).join('')
    pairs.push(
      input[at] === 0 ? 'cookie' : `x-${name}`,
      input
        .toString('latin1', at + 4, at + 12)
        .replace(/[\x00-\x08\x0a-\x1f\x7f]/g, '')
        .trim(),
    )
  }
  const encoder = new HpackEncoder(4_096)
  const decoder = new HpackDecoder(4_096)
  const out = Buffer.alloc(64 * 1_024)
  for (let round = 0; round < 3; round++) {
    if (round === 2) encoder.allowTable(input.length % 4_097)
    const block = blockOf(pairs)
    encoder.start(out, 0)
    encoder.status(200 + (input.length % 300))
    encoder.fields(block, 0)
    releaseBlock(block)
    head.start()
    assert.equal(decoder.decode(out, 0, encoder.at, head), 0)
    assert.equal(head.status, 200 + (input.length % 300))
    assert.equal(head.malformed, false)
    const decoded = head.takeFields()
    assert.deepEqual(joinCookies(decoded.pairs()), joinCookies(pairs), `round ${round + 1}`)
    releaseFields(decoded)
  }
}

/** Cookies as one, last, as the decoder leaves them. */
function joinCookies(pairs: readonly string[]): string[] {
  const cookies = pairs.filter((_, i) => i % 2 === 1 && pairs[i - 1] === 'cookie')
  const others = pairs.filter((_, i) => pairs[i - (i % 2)] !== 'cookie')
  return cookies.length === 0 ? others : [...others, 'cookie', cookies.join('; ')]
}
