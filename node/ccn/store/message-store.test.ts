import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import fc from 'fast-check'
import { sha256Hex } from '../../protocol/item-hash.ts'
import { StoreVersionError } from '../errors.ts'
import type { Change, MessageFilter, MessageStore, StoredMessage } from '../ports.ts'
import { createMemoryMessageStore } from './memory-message-store.ts'
import { openSqliteMessageStore } from './sqlite-message-store.ts'

/** What every message store must do; run against each adapter. */
const adapters: Record<string, () => MessageStore & Partial<AsyncDisposable>> = {
  memory: createMemoryMessageStore,
  SQLite: () => openSqliteMessageStore(':memory:'),
}

for (const [name, make] of Object.entries(adapters)) {
  const use = async (work: (store: MessageStore) => Promise<void>): Promise<void> => {
    const store = make()
    await work(store)
    await store[Symbol.asyncDispose]?.()
  }

  test(`${name}: a message is read back whole, and applying it twice changes nothing`, () =>
    use(async (store) => {
      const stored = message(1, { tags: ['x', 'y'], channel: 'C', forgottenBy: ['f'] })
      await store.apply([put(stored)])
      await store.apply([put(stored)])
      assert.deepEqual(await store.message(stored.message.item_hash), stored)
      assert.equal((await store.messages({})).total, 1)
      assert.equal(await store.message('absent'), undefined)
    }))

  test(`${name}: each filter selects, lists are alternatives, and different filters add up`, () =>
    use(async (store) => {
      const all = [
        message(1, { channel: 'A', tags: ['red'] }),
        message(2, { channel: 'B', tags: ['blue', 'red'], contentType: 'amend', ref: 'r' }),
        message(3, { channel: 'A', status: 'pending' }),
        message(4, { owner: 'other', chain: 'SOL', key: 'k', paymentType: 'credit', contentHash: 'h' }),
      ]
      await store.apply(all.map(put))
      const found = async (filter: MessageFilter): Promise<number[]> =>
        (await store.messages({ order: 'asc', ...filter })).messages.map((stored) => stored.message.time)
      assert.deepEqual(await found({}), [1, 2, 4])
      assert.deepEqual(await found({ statuses: ['pending'] }), [3])
      assert.deepEqual(await found({ channels: ['A', 'B'] }), [1, 2])
      assert.deepEqual(await found({ channels: ['A', 'B'], tags: ['blue'] }), [2])
      assert.deepEqual(await found({ tags: ['red', 'blue'] }), [1, 2])
      assert.deepEqual(await found({ contentTypes: ['amend'], refs: ['r'] }), [2])
      assert.deepEqual(await found({ notContentTypes: ['amend'] }), [1, 4])
      assert.deepEqual(await found({ owners: ['other'], chains: ['SOL'], contentKeys: ['k'] }), [4])
      assert.deepEqual(await found({ paymentTypes: ['credit'], contentHashes: ['h'] }), [4])
      assert.deepEqual(
        await found({ hashes: [all[0]?.message.item_hash as string], types: ['POST'], senders: ['sender'] }),
        [1],
      )
      assert.deepEqual(await found({ startTime: 2, endTime: 4 }), [2])
      assert.deepEqual(await found({ tags: [] }), [])
    }))

  test(`${name}: pages and cursors visit every message once, in both orders`, () =>
    use(async (store) => {
      // Several at one time: then the hash decides.
      const all = Array.from({ length: 23 }, (_, index) => message(Math.floor(index / 4), {}, `m${index}`))
      await store.apply(all.map(put))
      for (const order of ['asc', 'desc'] as const) {
        const whole = (await store.messages({ order })).messages.map(hashOf)
        assert.equal(new Set(whole).size, 23)
        const paged: string[] = []
        for (let offset = 0; offset < 23; offset += 5) {
          const { messages, total } = await store.messages({ order, limit: 5, offset })
          assert.equal(total, 23)
          paged.push(...messages.map(hashOf))
        }
        const cursored: string[] = []
        let after: MessageFilter['after']
        for (;;) {
          const { messages } = await store.messages({ order, limit: 5, count: false, ...(after ? { after } : {}) })
          const last = messages.at(-1)
          if (!last) break
          cursored.push(...messages.map(hashOf))
          after = { time: last.message.time, itemHash: hashOf(last) }
        }
        assert.deepEqual(paged, whole)
        assert.deepEqual(cursored, whole)
      }
    }))

  test(`${name}: aggregates, tags, uses and channels follow the changes`, () =>
    use(async (store) => {
      const state = {
        content: { a: 1, __proto__: null },
        createdTime: 1.5,
        updatedTime: 2.25,
        originalItemHash: 'o',
        lastItemHash: 'l',
      }
      await store.apply([
        { kind: 'aggregate', owner: 'me', key: 'k', state },
        { kind: 'aggregate', owner: 'me', key: 'other', state },
        { kind: 'fileTag', tag: 't', value: { itemHash: 'i', fileHash: 'f', time: 1.5 } },
        { kind: 'uses', itemHash: 'vm', refs: ['store', 'store', 'volume'] },
        put(message(1, { channel: 'Z' })),
        put(message(2, { channel: 'A' })),
      ])
      assert.deepEqual([...(await store.aggregates('me', undefined)).keys()].sort(), ['k', 'other'])
      assert.deepEqual({ ...(await store.aggregates('me', ['k', 'none'])).get('k') }, { ...state, content: { a: 1 } })
      assert.deepEqual({ ...(await store.fileTag('t')) }, { itemHash: 'i', fileHash: 'f', time: 1.5 })
      assert.deepEqual(await store.ask({ kind: 'users', itemHash: 'volume' }), ['vm'])
      assert.deepEqual(await store.ask({ kind: 'channels', limit: 10 }), ['A', 'Z'])
      await store.apply([
        { kind: 'aggregate', owner: 'me', key: 'k', state: undefined },
        { kind: 'fileTag', tag: 't', value: undefined },
        { kind: 'uses', itemHash: 'vm', refs: [] },
      ])
      assert.deepEqual([...(await store.aggregates('me', undefined)).keys()], ['other'])
      assert.equal(await store.fileTag('t'), undefined)
      assert.deepEqual(await store.ask({ kind: 'users', itemHash: 'volume' }), [])
    }))

  test(`${name}: a file is unpinned from its last unpin, and an upload of the same bytes starts its time anew`, () =>
    use(async (store) => {
      const [a, b] = [sha256Hex('a'), sha256Hex('b')]
      const unpinned = (beforeMs: number): Promise<string[]> => store.ask({ kind: 'unpinned', beforeMs, limit: 10 })
      await store.apply([
        { kind: 'file', hash: a, sizeBytes: 5, atMs: 100 },
        { kind: 'file', hash: b, sizeBytes: 6, atMs: 100 },
        { kind: 'file', hash: 'QmCid', sizeBytes: 6, atMs: 0 },
        { kind: 'pin', fileHash: a, itemHash: 'one' },
        { kind: 'pin', fileHash: a, itemHash: 'two' },
      ])
      assert.deepEqual(await store.file(a), { hash: a, sizeBytes: 5, pins: ['one', 'two'] })
      assert.deepEqual(await unpinned(101), [b])
      await store.apply([{ kind: 'unpin', itemHash: 'one', atMs: 200 }])
      assert.deepEqual(await unpinned(1_000), [b])
      await store.apply([
        { kind: 'unpin', itemHash: 'two', atMs: 300 },
        { kind: 'file', hash: b, sizeBytes: 6, atMs: 900 },
      ])
      assert.deepEqual(await unpinned(301), [a])
      await store.apply([{ kind: 'dropFile', hash: a }])
      assert.equal(await store.file(a), undefined)
    }))
}

test('both adapters answer any filter alike', async () => {
  const all = Array.from({ length: 40 }, (_, index) =>
    message(
      index % 7,
      {
        channel: pick(['A', 'B', undefined], index),
        tags: pick([[], ['t'], ['t', 'u']], index >> 1),
        owner: pick(['me', 'you'], index >> 2),
      },
      `d${index}`,
    ),
  )
  const memory = createMemoryMessageStore()
  await using sqlite = openSqliteMessageStore(':memory:')
  for (const store of [memory, sqlite]) await store.apply(all.map(put))
  const some = (values: string[]) => fc.subarray(values)
  const filters = fc.record(
    {
      channels: some(['A', 'B', 'C']),
      tags: some(['t', 'u', 'v']),
      owners: some(['me', 'you']),
      notContentTypes: some(['t', 'amend']),
      startTime: fc.integer({ min: 0, max: 8 }),
      endTime: fc.integer({ min: 0, max: 8 }),
      order: fc.constantFrom('asc' as const, 'desc' as const),
      limit: fc.nat(12),
      offset: fc.nat(12),
    },
    { requiredKeys: [] },
  )
  await fc.assert(
    fc.asyncProperty(filters, async (filter) => {
      assert.deepEqual(await sqlite.messages(filter), await memory.messages(filter))
    }),
  )
})

test('SQLite: a failing change takes the whole transaction back', async () => {
  await using store = openSqliteMessageStore(':memory:')
  const broken = { kind: 'pin', fileHash: undefined, itemHash: 'x' } as unknown as Change
  await assert.rejects(store.apply([put(message(1)), broken]))
  assert.equal((await store.messages({})).total, 0)
  await store.apply([put(message(1))])
  assert.equal((await store.messages({})).total, 1)
})

test('SQLite: what was applied is there after opening again; a newer file is refused with advice', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lastmile-store-'))
  const path = join(folder, 'messages.sqlite')
  try {
    const stored = message(1)
    {
      await using store = openSqliteMessageStore(path)
      await store.apply([put(stored)])
    }
    {
      await using store = openSqliteMessageStore(path)
      assert.deepEqual(await store.message(hashOf(stored)), stored)
    }
    const db = new DatabaseSync(path)
    db.exec('PRAGMA user_version = 999')
    db.close()
    assert.throws(() => openSqliteMessageStore(path), StoreVersionError)
  } finally {
    await rm(folder, { recursive: true })
  }
})

interface Parts {
  channel?: string | undefined
  tags?: string[]
  owner?: string
  chain?: string
  key?: string
  ref?: string
  contentType?: string
  contentHash?: string
  paymentType?: string
  status?: StoredMessage['status']
  forgottenBy?: string[]
}

function message(time: number, parts: Parts = {}, seed = `m${time}`): StoredMessage {
  const { contentHash, key, ref, paymentType } = parts
  const content = {
    address: parts.owner ?? 'me',
    time,
    type: parts.contentType ?? 't',
    content: { tags: parts.tags ?? [] },
    ...(key ? { key } : {}),
    ...(ref ? { ref } : {}),
    ...(contentHash ? { item_hash: contentHash } : {}),
    ...(paymentType ? { payment: { type: paymentType } } : {}),
  }
  return {
    message: {
      chain: parts.chain ?? 'ETH',
      sender: 'sender',
      type: 'POST',
      item_hash: sha256Hex(seed),
      signature: 's',
      item_type: 'inline',
      item_content: JSON.stringify(content),
      time,
      channel: parts.channel ?? null,
    },
    content,
    status: parts.status ?? 'processed',
    receptionTimeMs: 5,
    sizeBytes: 7,
    ...(parts.forgottenBy ? { forgottenBy: parts.forgottenBy } : {}),
  }
}

function put(stored: StoredMessage): Change {
  return { kind: 'message', stored }
}

function hashOf(stored: StoredMessage): string {
  return stored.message.item_hash
}

function pick<T>(values: readonly T[], index: number): T {
  return values[index % values.length] as T
}
