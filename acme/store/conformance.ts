import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../../core/clock.ts'
import type { CertificateStore } from '../ports.ts'

/** What every CertificateStore must do. `open` gives an empty store each time, on the clock of the test. */
export function testCertificateStore(
  adapter: string,
  open: (clock: FakeClock) => Promise<CertificateStore & Partial<AsyncDisposable>>,
): void {
  const withStore = (title: string, body: (store: CertificateStore, clock: FakeClock) => Promise<void>): void => {
    test(`${adapter}: ${title}`, async () => {
      const clock = new FakeClock()
      const store = await open(clock)
      try {
        await body(store, clock)
      } finally {
        await store[Symbol.asyncDispose]?.()
      }
    })
  }

  withStore('a key that was never written reads as undefined', async (store) => {
    assert.equal(await store.read('a/b'), undefined)
    assert.deepEqual(await store.list(''), [])
  })

  withStore('a written value reads back, with a revision that grows', async (store) => {
    const lock = (await store.lock('l', 1_000))!
    await store.write('a/b', bytes('one\nline'), lock)
    const first = await store.read('a/b')
    await store.write('a/b', bytes(''), lock)
    const second = await store.read('a/b')
    assert.deepEqual([text(first!.value), text(second!.value)], ['one\nline', ''])
    assert.ok(second!.revision > first!.revision)
  })

  withStore('a returned value may be changed without changing the store', async (store) => {
    const lock = (await store.lock('l', 1_000))!
    const value = bytes('kept')
    await store.write('a', value, lock)
    value.fill(0)
    ;(await store.read('a'))!.value.fill(0)
    assert.equal(text((await store.read('a'))!.value), 'kept')
  })

  withStore('list gives the keys below a prefix, sorted, and removed ones are gone', async (store) => {
    const lock = (await store.lock('l', 1_000))!
    for (const key of ['c/b/x', 'c/a', 'c/*.zone_1', 'd', 'c/a/deeper', 'c']) await store.write(key, bytes(key), lock)
    assert.deepEqual(await store.list('c/'), ['c/*.zone_1', 'c/a', 'c/a/deeper', 'c/b/x'])
    await store.remove('c/a', lock)
    await store.remove('never/there', lock)
    assert.deepEqual(await store.list('c/a'), ['c/a/deeper'])
    assert.equal(text((await store.read('c'))!.value), 'c')
  })

  withStore('a lock is exclusive until it is given back', async (store) => {
    const first = (await store.lock('l', 1_000))!
    assert.equal(await store.lock('l', 1_000), undefined)
    assert.ok(await store.lock('other', 1_000))
    await store.unlock(first)
    const second = (await store.lock('l', 1_000))!
    assert.ok(second.token > first.token)
  })

  withStore('of many who ask for a lock at once, one gets it', async (store) => {
    const asked = await Promise.all(Array.from({ length: 10 }, () => store.lock('l', 1_000)))
    assert.equal(asked.filter((lock) => lock !== undefined).length, 1)
  })

  withStore('a lock can be taken over once it has expired, and not while it is extended', async (store, clock) => {
    const first = (await store.lock('l', 1_000))!
    await clock.advance(900)
    assert.ok(await store.extend(first, 1_000))
    await clock.advance(900)
    assert.equal(await store.lock('l', 1_000), undefined)
    await clock.advance(200)
    assert.ok(await store.lock('l', 1_000))
    assert.equal(await store.extend(first, 1_000), undefined)
  })

  withStore('a late holder can neither write, remove, extend nor unlock', async (store, clock) => {
    const late = (await store.lock('l', 1_000))!
    await store.write('a', bytes('early'), late)
    await clock.advance(1_001)
    const current = (await store.lock('l', 1_000))!
    await assert.rejects(store.write('a', bytes('late'), late), { code: 'ACME_STORE_FENCED' })
    await assert.rejects(store.remove('a', late), { code: 'ACME_STORE_FENCED' })
    await store.unlock(late)
    assert.equal(await store.lock('l', 1_000), undefined, 'the late unlock frees nothing')
    await store.write('a', bytes('current'), current)
    assert.equal(text((await store.read('a'))!.value), 'current')
  })

  withStore('an expired lock that nobody took still writes, and one given back does not', async (store, clock) => {
    const lock = (await store.lock('l', 1_000))!
    await clock.advance(5_000)
    await store.write('a', bytes('a'), lock)
    await store.unlock(lock)
    await assert.rejects(store.write('a', bytes('b'), lock), { code: 'ACME_STORE_FENCED' })
  })

  withStore('keys outside the alphabet are refused', async (store) => {
    const lock = (await store.lock('l', 1_000))!
    for (const key of [
      '',
      '/',
      'a/',
      '/a',
      'a//b',
      '.',
      '..',
      'a/../b',
      'A',
      'a b',
      'a@',
      'ä',
      '\0',
      'a'.repeat(201),
      `${'a/'.repeat(127)}aa`,
    ]) {
      await assert.rejects(store.read(key), { code: 'ACME_STORE_KEY_INVALID' }, key)
      await assert.rejects(store.write(key, bytes(''), lock), { code: 'ACME_STORE_KEY_INVALID' }, key)
      await assert.rejects(store.lock(key, 1), { code: 'ACME_STORE_KEY_INVALID' }, key)
    }
    await store.write('a'.repeat(200), bytes('long'), lock)
    assert.deepEqual(await store.list('a'), ['a'.repeat(200)])
  })
}

function bytes(value: string): Uint8Array {
  return new Uint8Array(Buffer.from(value))
}

function text(value: Uint8Array): string {
  return Buffer.from(value).toString()
}
