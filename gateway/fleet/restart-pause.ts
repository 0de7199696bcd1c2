const firstMs = 100
const longestMs = 30_000
const steadyMs = 60_000

/** What is remembered of one place among the workers. */
export interface DeathRecord {
  /** Deaths, each soon after the one before. */
  inRow: number
}

/**
 * How long to wait before a worker that ended is replaced: the first time not at all, then 0.1, 0.2, 0.4 ... 30 s for as long as each lives
 * less than a minute. A program that dies at its start must not eat the machine that the others serve on.
 */
export function restartPauseMs(record: DeathRecord, livedMs: number): number {
  record.inRow = livedMs >= steadyMs ? 1 : record.inRow + 1
  return record.inRow === 1 ? 0 : Math.min(longestMs, firstMs * 2 ** Math.min(20, record.inRow - 2))
}
