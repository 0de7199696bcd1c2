import { openDirectoryStore } from '../store/directory-store.ts'

// Run as a program by directory-store.test.ts: writes `new` over a key, and is gone by kill -9 at the named step.
const [folder, step] = process.argv.slice(2) as [string, string]
let armed = false
const store = await openDirectoryStore(folder, {
  onStep: (reached) => {
    if (armed && reached === step) process.kill(process.pid, 'SIGKILL')
  },
})
const lock = await store.lock('writer', 60_000)
if (lock === undefined) throw new Error('the lock is held')
armed = true
await store.write('a/b', Buffer.from('new'), lock)
