import type { Picker } from './pick.ts'

/** Longest input that mutation makes: more finds nothing new, and takes long. */
const inputBytesMax = 4_096

/**
 * Damages an input in one to four places: bytes changed, words of the format put in, pieces taken out, repeated, moved or taken from another
 * input.
 */
export function mutate(pick: Picker, input: Buffer, words: readonly Buffer[], others: readonly Buffer[]): Buffer {
  let bytes = input
  for (let times = 1 + pick.below(4); times > 0; times--) bytes = mutateOnce(pick, bytes, words, others)
  return bytes.length > inputBytesMax ? bytes.subarray(0, inputBytesMax) : bytes
}

function mutateOnce(pick: Picker, bytes: Buffer, words: readonly Buffer[], others: readonly Buffer[]): Buffer {
  const at = pick.below(bytes.length + 1)
  const end = Math.min(bytes.length, at + 1 + pick.below(pick.oneIn(4) ? 64 : 4))
  const piece = bytes.subarray(at, end)
  const without = (from: number, to: number): Buffer[] => [bytes.subarray(0, from), bytes.subarray(to)]
  const [before, after] = without(at, at) as [Buffer, Buffer]
  switch (pick.below(8)) {
    case 0: {
      const copy = Buffer.from(bytes)
      if (at < copy.length) copy[at] = pick.below(256)
      return copy
    }
    case 1: {
      const copy = Buffer.from(bytes)
      if (at < copy.length) copy[at] = (copy[at] as number) ^ (1 << pick.below(8))
      return copy
    }
    case 2:
      return Buffer.concat(without(at, end))
    case 3:
      return Buffer.concat([before, piece, after])
    case 4: {
      const rest = Buffer.concat(without(at, end))
      const to = pick.below(rest.length + 1)
      return Buffer.concat([rest.subarray(0, to), piece, rest.subarray(to)])
    }
    case 5: {
      const other = others.length > 0 ? pick.of(others) : bytes
      const from = pick.below(other.length + 1)
      return Buffer.concat([before, other.subarray(from, from + 1 + pick.below(64)), after])
    }
    case 6:
      return Buffer.concat([before, pick.of(words), bytes.subarray(end)])
    default:
      return Buffer.concat([before, pick.of(words), after])
  }
}
