/** One input in so many is cut at every byte, the others at a few: most of the time would go there otherwise. */
const everyOneIn = 24
const fewSplits = 6
/** Longer inputs are cut at a few places only. */
const everyBytesMax = 600

/** Where to cut an input in two. Depends on the input alone, so that a failure repeats. `LASTMILE_FUZZ_SPLITS=all` cuts all everywhere. */
export function splitsOf(bytes: Buffer): number[] {
  let hash = bytes.length
  for (const byte of bytes) hash = (Math.imul(hash, 31) + byte) | 0
  const every = process.env.LASTMILE_FUZZ_SPLITS === 'all' || bytes.length <= 48
  if (every || (bytes.length <= everyBytesMax && Math.abs(hash) % everyOneIn === 0))
    return Array.from({ length: Math.max(0, bytes.length - 1) }, (_, i) => i + 1)
  return Array.from({ length: fewSplits }, (_, i) => 1 + (Math.abs(Math.imul(hash, i + 7)) % (bytes.length - 1)))
}
