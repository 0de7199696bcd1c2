/** Bytes of one cell: letter and number of its owner, then where it stands. */
const cellBytes = 16

/** Content that tells at every byte whose it is and where it belongs, so that a wrong, lost or repeated byte shows. */
export function pattern(owner: number, length: number): Buffer {
  const out = Buffer.alloc(Math.ceil(length / cellBytes) * cellBytes)
  const letter = String.fromCharCode(0x41 + (owner % 26))
  for (let at = 0; at < out.length; at += cellBytes) {
    const cell = `${letter}${String(owner).padStart(5, '0')}${letter}${at.toString(36).padStart(7, '0')}\r\n`
    out.write(cell, at, cellBytes, 'latin1')
  }
  return out.subarray(0, length)
}

/** What is wrong with content that should be `pattern(owner, length)`; undefined when nothing is. */
export function differenceTo(owner: number, length: number, content: Buffer): string | undefined {
  const expected = pattern(owner, length)
  if (expected.equals(content)) return undefined
  let at = 0
  while (at < content.length && at < length && content[at] === expected[at]) at++
  const near = JSON.stringify(content.toString('latin1', Math.max(0, at - 16), at + 32))
  return `content of ${owner}: ${content.length} bytes of ${length}, the first wrong one at ${at}: ${near}`
}
