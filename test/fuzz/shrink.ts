/** Attempts to make an input smaller. */
const attemptsMax = 1_500

/**
 * The smallest input found that still has the property: pieces are left out, halves first, then bytes are replaced by plain ones.
 * @param holds - whether an input has it
 */
export async function shrink(input: Buffer, holds: (input: Buffer) => Promise<boolean>): Promise<Buffer> {
  let best = input
  let attempts = 0
  const better = async (candidate: Buffer): Promise<boolean> => {
    if (attempts++ >= attemptsMax || !(await holds(candidate))) return false
    best = candidate
    return true
  }
  for (let size = best.length >> 1; size >= 1; size = size >> 1) {
    for (let at = 0; at < best.length && attempts < attemptsMax; ) {
      const removed = await better(Buffer.concat([best.subarray(0, at), best.subarray(at + size)]))
      if (!removed) at += size
    }
  }
  for (let at = 0; at < best.length && attempts < attemptsMax; at++) {
    if (best[at] === plain || isPlainEnough(best[at] as number)) continue
    const candidate = Buffer.from(best)
    candidate[at] = plain
    await better(candidate)
  }
  return best
}

const plain = 0x61

function isPlainEnough(byte: number): boolean {
  return byte === 0x20 || byte === 0x0d || byte === 0x0a || byte === 0x3a || byte === 0x2f
}
