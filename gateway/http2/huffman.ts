/**
 * The Huffman code of HPACK (RFC 7541 §5.2, appendix B). The code is canonical: it follows from the length of each symbol's code, so only
 * the lengths stand here.
 */

/** Bits of the code of each byte value. The end-of-string symbol has 30 and is all ones. */
const lengths = Uint8Array.from([
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
  28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6,
  5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23,
  22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22,
  23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26,
  20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27,
  27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27,
  27, 27, 27, 26,
])
const lengthMax = 30

const codes = new Uint32Array(256)
/** Codes of up to this many bits, which is nearly all text, are found in one look: `bits << 8 | symbol`. */
const quickBits = 10
const quick = new Uint16Array(1 << quickBits)
/** For longer codes, by length: the first code, and where its symbols stand in `ordered`. */
const firstCode = new Uint32Array(lengthMax + 1)
const firstSymbol = new Uint16Array(lengthMax + 1)
const codesOfLength = new Uint16Array(lengthMax + 1)
const ordered = new Uint8Array(256)
buildTables()

function buildTables(): void {
  let code = 0
  let place = 0
  for (let bits = 1; bits <= lengthMax; bits++) {
    code *= 2
    firstCode[bits] = code
    firstSymbol[bits] = place
    for (let symbol = 0; symbol < 256; symbol++) {
      if (lengths[symbol] !== bits) continue
      codes[symbol] = code
      ordered[place++] = symbol
      if (bits <= quickBits) {
        const shift = quickBits - bits
        quick.fill((bits << 8) | symbol, code << shift, (code + 1) << shift)
      }
      code++
    }
    codesOfLength[bits] = place - (firstSymbol[bits] as number)
  }
}

/**
 * Decodes `src[from, end)` into `out` at `at`, which must have room for `(end - from) * 8 / 5` bytes.
 *
 * @returns the offset in `out` just past the text; -1 when the code holds the end-of-string symbol, or its padding is longer than 7 bits or
 * not all ones
 */
export function huffmanDecode(src: Uint8Array, from: number, end: number, out: Uint8Array, at: number): number {
  /** The next bits, right-aligned; those above `count` are left over and masked away. */
  let bits = 0
  let count = 0
  let pos = from
  for (;;) {
    while (count <= 16 && pos < end) {
      bits = (bits << 8) | (src[pos++] as number)
      count += 8
    }
    if (count < 5) break
    // With fewer bits left than the look needs, ones stand in for them: a code that reaches into those was cut off.
    const look =
      count >= quickBits
        ? (bits >>> (count - quickBits)) & 0x3ff
        : ((bits << (quickBits - count)) | ((1 << (quickBits - count)) - 1)) & 0x3ff
    const hit = quick[look] as number
    if (hit !== 0) {
      const used = hit >>> 8
      if (used > count) break
      out[at++] = hit
      count -= used
      continue
    }
    // So few bits only at the end, and no code of ten bits or less: padding, or the beginning of a longer code.
    if (count < quickBits) break
    const bitAt = pos * 8 - count
    const found = longCode(src, bitAt, end * 8)
    if (found < 0) return -1
    out[at++] = found & 0xff
    const nextBit = bitAt + (found >>> 8)
    pos = (nextBit + 7) >>> 3
    count = pos * 8 - nextBit
    bits = count === 0 ? 0 : (src[pos - 1] as number)
  }
  return isPadding(bits, count) ? at : -1
}

function isPadding(bits: number, count: number): boolean {
  const ones = (1 << count) - 1
  return count < 8 && (bits & ones) === ones
}

/** Reads one code bit by bit. @returns `bits << 8 | symbol`; -1 for end-of-string, or when the input ends inside the code */
function longCode(src: Uint8Array, bitAt: number, bitEnd: number): number {
  let code = 0
  for (let bits = 1; bits <= lengthMax; bits++, bitAt++) {
    if (bitAt >= bitEnd) return -1
    code = code * 2 + (((src[bitAt >>> 3] as number) >>> (7 - (bitAt & 7))) & 1)
    const offset = code - (firstCode[bits] as number)
    if (offset >= 0 && offset < (codesOfLength[bits] as number))
      return (bits << 8) | (ordered[(firstSymbol[bits] as number) + offset] as number)
  }
  return -1
}

/** How many bytes `src[from, end)` takes when it is Huffman coded. */
export function huffmanLength(src: Uint8Array, from: number, end: number): number {
  let bits = 0
  for (let i = from; i < end; i++) bits += lengths[src[i] as number] as number
  return (bits + 7) >>> 3
}

/** Writes the code of `src[from, end)` at `at`; the caller has made sure of `huffmanLength` bytes. @returns the offset just past it */
export function huffmanEncode(src: Uint8Array, from: number, end: number, out: Uint8Array, at: number): number {
  let bits = 0
  let count = 0
  for (let i = from; i < end; i++) {
    const symbol = src[i] as number
    let left = lengths[symbol] as number
    const code = codes[symbol] as number
    // In pieces of at most 16 bits, so that what waits never exceeds 23 bits.
    while (left > 0) {
      const piece = Math.min(left, 16)
      left -= piece
      bits = (bits << piece) | ((code >>> left) & ((1 << piece) - 1))
      count += piece
      while (count >= 8) {
        count -= 8
        out[at++] = bits >>> count
      }
      bits &= 0xff
    }
  }
  if (count > 0) out[at++] = (bits << (8 - count)) | ((1 << (8 - count)) - 1)
  return at
}
