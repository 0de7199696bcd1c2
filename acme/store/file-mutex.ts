import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'

// Critical sections take milliseconds; a wait this long means that a process stands still inside one.
const waitMsMax = 10_000
const sqliteBusy = 5

/** Mutual exclusion between processes of one machine. */
export interface FileMutex extends Disposable {
  /** Runs `work` alone. @throws Error when the turn does not come within 10 s */
  run<T>(work: () => Promise<T>): Promise<T>
}

/**
 * A mutex on a file. Node has no `flock`, and a lock made by creating a file stays behind when its holder is killed; an open
 * SQLite transaction is a kernel lock on the file, which goes with the process however it ends.
 */
export function openFileMutex(path: string): FileMutex {
  const db = new DatabaseSync(path, { timeout: 0 })
  let last: Promise<unknown> = Promise.resolve()
  const exclusive = async <T>(work: () => Promise<T>): Promise<T> => {
    await begin(db)
    try {
      return await work()
    } finally {
      db.exec('ROLLBACK')
    }
  }
  return {
    run(work) {
      const turn = last.then(() => exclusive(work))
      last = turn.catch(() => {})
      return turn
    },
    [Symbol.dispose]: () => db.close(),
  }
}

async function begin(db: DatabaseSync): Promise<void> {
  const startedAt = performance.now()
  for (;;) {
    try {
      db.exec('BEGIN IMMEDIATE')
      return
    } catch (error) {
      if ((error as { errcode?: number }).errcode !== sqliteBusy) throw error
      if (performance.now() - startedAt > waitMsMax)
        throw new Error(`the store was busy for ${waitMsMax} ms`, { cause: error })
    }
    await sleep(2 + Math.random() * 8)
  }
}
