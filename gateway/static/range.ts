/** Part of a file: from `start` up to but not including `end`. */
export interface ByteRange {
  start: number
  end: number
}

/**
 * Reads a Range field for a file of `size` bytes. Only single ranges are honoured; a list, another unit or bad syntax is as if the field
 * were absent, which a server may always do.
 * @returns the range, `unsatisfiable` (answer 416), or undefined (answer the whole file)
 * @see RFC 9110 §14.1.2, §14.2
 */
export function parseRange(value: string | undefined, size: number): ByteRange | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(value?.trim() ?? '')
  if (!match || (match[1] === '' && match[2] === '')) return undefined
  const [, first, last] = match as unknown as [string, string, string]
  if (first === '') {
    const count = Math.min(Number(last), size)
    return count === 0 ? 'unsatisfiable' : { start: size - count, end: size }
  }
  const start = Number(first)
  const end = last === '' ? size : Math.min(Number(last) + 1, size)
  if (last !== '' && Number(last) < start) return undefined
  return start >= size ? 'unsatisfiable' : { start, end }
}
