/** Below this length a loop beats the call into native code. */
const loopBytesMax = 48

/** Copies `length` bytes of `src` at `from` into `out` at `at`. @returns the offset just past them */
export function copyBytes(src: Buffer, from: number, length: number, out: Buffer, at: number): number {
  if (length > loopBytesMax) src.copy(out, at, from, from + length)
  else for (let i = 0; i < length; i++) out[at + i] = src[from + i] as number
  return at + length
}
