import { huffmanEncode, huffmanLength } from '../../../gateway/http2/huffman.ts'
import { frame, uint32 } from '../../../gateway/listen/http2/testing/raw-client.ts'
import type { Picker } from '../pick.ts'

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1')

/** An integer with a prefix of so many bits (RFC 7541 §5.1). */
function integer(value: number, bits: number, first: number): Buffer {
  const most = (1 << bits) - 1
  if (value < most) return Buffer.from([first | value])
  const out = [first | most]
  let rest = value - most
  for (; rest >= 128; rest = Math.floor(rest / 128)) out.push(0x80 | (rest % 128))
  out.push(rest)
  return Buffer.from(out)
}

function text(pick: Picker, value: string): Buffer {
  const bytes = latin1(value)
  if (pick.oneIn(2)) return Buffer.concat([integer(bytes.length, 7, 0), bytes])
  const out = Buffer.alloc(huffmanLength(bytes, 0, bytes.length) + 8)
  const end = huffmanEncode(bytes, 0, bytes.length, out, 0)
  return Buffer.concat([integer(end, 7, 0x80), out.subarray(0, end)])
}

function literal(pick: Picker, name: string, value: string): Buffer {
  const [first, bits] = pick.of([
    [0x40, 6],
    [0x00, 4],
    [0x10, 4],
  ] as const)
  const named = name === 'x' && pick.oneIn(4) ? integer(1 + pick.below(70), bits, first) : undefined
  return Buffer.concat(named ? [named, text(pick, value)] : [Buffer.from([first]), text(pick, name), text(pick, value)])
}

/** A header block of a request, valid or nearly. */
export function makeBlock(pick: Picker): Buffer {
  const method = pick.of(['GET', 'GET', 'POST', 'HEAD', 'OPTIONS', 'CONNECT', 'get', 'BREW', ''])
  const path = pick.of(['/', '/', '/a?b=c', '*', '', 'x', '/\xe9', '/a b', '/../', '/#f'])
  const authority = pick.of(['app.test', 'app.test', 'APP.test:8443', 'a@app.test', '', 'a b', '[::1]', '\xe9.test'])
  const scheme = pick.of(['https', 'https', 'https', 'http', 'ftp', ''])
  const pseudo: [string, string][] = [
    [':method', method],
    [':scheme', scheme],
    [':path', path],
    [':authority', authority],
  ]
  if (pick.oneIn(6)) pseudo.push([':protocol', pick.of(['websocket', 'foo'])])
  if (pick.oneIn(10)) pseudo.splice(pick.below(pseudo.length), 1)
  if (pick.oneIn(12))
    pseudo.push(
      pick.of([
        [':status', '200'],
        [':method', 'GET'],
        [':foo', 'x'],
        [':', 'x'],
      ] as [string, string][]),
    )
  const fields: [string, string][] = []
  for (let count = pick.below(5); count > 0; count--) fields.push(makeField(pick))
  const parts: Buffer[] = []
  if (pick.oneIn(8)) parts.push(integer(pick.of([0, 30, 4_096, 4_097]), 5, 0x20))
  for (const [name, value] of pseudo)
    parts.push(pick.oneIn(3) ? (known(name, value) ?? literal(pick, name, value)) : literal(pick, name, value))
  for (const [name, value] of fields) parts.push(literal(pick, name, value))
  for (let count = pick.oneIn(4) ? pick.below(3) : 0; count > 0; count--)
    parts.push(integer(1 + pick.below(68), 7, 0x80))
  if (pick.oneIn(16)) parts.reverse()
  return Buffer.concat(parts)
}

/** Static indexes of some pseudo-header fields with their value (RFC 7541, Appendix A). */
const indexes = new Map([
  [':method GET', 2],
  [':method POST', 3],
  [':path /', 4],
  [':scheme http', 6],
  [':scheme https', 7],
])

function known(name: string, value: string): Buffer | undefined {
  const index = indexes.get(`${name} ${value}`)
  return index === undefined ? undefined : Buffer.from([0x80 | index])
}

function makeField(pick: Picker): [string, string] {
  return pick.of([
    ['x', pick.of(['', 'y', ' y', 'y ', '\ty', 'a\tb', '\xe9', 'a\rb', 'a\nb', 'a\0b', '\x7f', 'z'.repeat(200)])],
    [pick.of(['x-a', 'X-A', 'x a', 'x:a', '', '\xe9', 'x\0', "!#$%&'*+-.^_`|~", 'x(y)']), 'v'],
    ['cookie', pick.of(['a=1', 'b=2', ''])],
    ['host', pick.of(['app.test', 'APP.test', 'other.test'])],
    ['content-length', pick.of(['0', '5', '+5', '5, 5', '', '99999999999999999999'])],
    ['te', pick.of(['trailers', 'gzip', 'Trailers'])],
    [pick.of(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'proxy-connection']), 'x'],
    ['expect', '100-continue'],
  ] as [string, string][])
}

/** Frames that a client might send, valid or nearly: requests with bodies and trailers, and everything else between them. */
export function makeFrames(pick: Picker): Buffer {
  const parts: Buffer[] = []
  let next = 1
  for (let count = 1 + pick.below(6); count > 0; count--) {
    if (pick.oneIn(2)) {
      parts.push(...makeRequest(pick, next))
      next += pick.oneIn(10) ? pick.below(4) : 2
    } else parts.push(makeOther(pick, next))
  }
  return Buffer.concat(parts)
}

function makeRequest(pick: Picker, id: number): Buffer[] {
  const block = makeBlock(pick)
  const ends = pick.oneIn(2)
  const parts: Buffer[] = []
  if (pick.oneIn(6)) {
    const at = pick.below(block.length + 1)
    parts.push(
      frame(1, ends ? 1 : 0, id, block.subarray(0, at)),
      frame(9, 4, pick.oneIn(10) ? id + 2 : id, block.subarray(at)),
    )
  } else if (pick.below(6) === 5) {
    const padding = pick.below(9)
    parts.push(
      frame(
        1,
        (ends ? 1 : 0) | 0x2c,
        id,
        Buffer.concat([Buffer.of(padding), uint32(pick.below(5)), Buffer.of(9), block, Buffer.alloc(padding)]),
      ),
    )
  } else parts.push(frame(1, (ends ? 1 : 0) | 4, id, block))
  if (ends && !pick.oneIn(10)) return parts
  for (let count = pick.below(3); count > 0; count--) parts.push(frame(0, 0, id, latin1('hello'.slice(pick.below(5)))))
  parts.push(pick.oneIn(3) ? frame(1, 5, id, literal(pick, 'x-sum', '1')) : frame(0, 1, id, latin1('end')))
  return parts
}

function makeOther(pick: Picker, near: number): Buffer {
  const id = pick.of([0, 0, 1, near, near + 2, 2, 0x7fff_ffff])
  switch (pick.below(9)) {
    case 0:
      return frame(
        4,
        pick.of([0, 0, 1]),
        pick.oneIn(6) ? id : 0,
        Buffer.concat([Buffer.of(0, pick.below(10)), uint32(pick.of([0, 1, 100, 65_535, 0x7fff_ffff, 0xffff_ffff]))]),
      )
    case 1:
      return frame(6, pick.below(2), pick.oneIn(6) ? id : 0, Buffer.alloc(pick.oneIn(6) ? pick.below(10) : 8))
    case 2:
      return frame(8, 0, id, uint32(pick.of([0, 1, 100, 0x7fff_ffff, 0x8000_0000])))
    case 3:
      return frame(3, 0, id, uint32(pick.below(14)))
    case 4:
      return frame(2, 0, id, Buffer.concat([uint32(pick.below(4)), Buffer.of(1)]))
    case 5:
      return frame(7, 0, pick.oneIn(6) ? id : 0, Buffer.alloc(8))
    case 6:
      return frame(pick.of([5, 9, 16, 0xbe]), pick.below(256), id, pick.bytes(pick.below(12)))
    case 7:
      return frame(0, pick.of([0, 1, 8, 9]), id, pick.bytes(pick.below(12)))
    default:
      return Buffer.concat([frame(pick.below(12), pick.below(256), id, pick.bytes(pick.below(20)))])
  }
}

/** Pieces of the format, for damage. */
export const http2Words: readonly Buffer[] = [
  ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((type) => frame(type, 4, 1)),
  frame(1, 5, 1, Buffer.from([0x82, 0x87, 0x84, 0x41, 0x08, ...latin1('app.test')])),
  ...[0x80, 0x82, 0x84, 0x87, 0xbe, 0xff, 0x00, 0x40, 0x10, 0x20, 0x3f, 0x7f].map((byte) => Buffer.of(byte)),
  uint32(0),
  uint32(0x7fff_ffff),
  uint32(0xffff_ffff),
]
