import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError, toProblem } from '../../core/errors.ts'
import { FakeError } from '../testing/fakes.ts'
import { until } from '../testing/until.ts'
import { IpcPeer, type IpcPort } from './ipc.ts'
import { RemoteError } from './wire-error.ts'

/** Two ends that copy messages as a channel between processes does. */
function channel(): { left: IpcPort; right: IpcPort; close(): void } {
  const messages: ((message: unknown) => void)[][] = [[], []]
  const closes: (() => void)[] = []
  const end = (own: number): IpcPort => ({
    send(message, done) {
      const copy = structuredClone(message)
      setImmediate(() => {
        for (const listener of messages[1 - own] ?? []) listener(copy)
        done(null)
      })
    },
    onMessage: (listener) => void messages[own]?.push(listener),
    onClose: (listener) => void closes.push(listener),
  })
  return {
    left: end(0),
    right: end(1),
    close: () => {
      for (const close of closes) close()
    },
  }
}

interface Sums {
  add(pair: { a: number; b: number }): number
  fail(error: unknown): never
  wait(what: undefined, signal: AbortSignal): Promise<void>
  note(text: string): void
}

function sums(ours: Partial<Sums>): { peer: IpcPeer<Sums>; close(): void } {
  const { left, right, close } = channel()
  new IpcPeer(right, ours)
  return { peer: new IpcPeer<Sums>(left, {}), close }
}

test('a question is answered by the other process', async () => {
  const { peer } = sums({ add: ({ a, b }) => a + b })
  assert.deepEqual(await Promise.all([peer.call('add', { a: 1, b: 2 }), peer.call('add', { a: 3, b: 4 })]), [3, 7])
})

test('an expected error crosses with all that people and programs need of it', async () => {
  const details = [{ record: '_control.app.test', type: 'TXT', expected: 'x' }]
  const thrown = new FakeError('NAME_UNPROVEN', 421, details)
  const { peer } = sums({
    fail: () => {
      throw thrown
    },
  })
  const error = await peer.call('fail', undefined).catch((caught: unknown) => caught)
  assert.ok(error instanceof RemoteError && error instanceof AppError)
  assert.deepEqual(toProblem(error), toProblem(thrown))
  assert.equal(error.name, 'FakeError')
})

test('an error keeps its causes, and one that nobody expected its code', async () => {
  const { peer } = sums({
    fail: () => {
      throw new Error('cannot listen', { cause: Object.assign(new Error('in use'), { code: 'EADDRINUSE' }) })
    },
  })
  const error = (await peer.call('fail', undefined).catch((caught: unknown) => caught)) as Error
  assert.equal(error instanceof AppError, false)
  assert.equal(error.message, 'cannot listen')
  assert.equal((error.cause as { code: string }).code, 'EADDRINUSE')
})

test('what cannot be copied fails the one question, in either direction', async () => {
  const { peer } = sums({
    add: () => (() => {}) as never,
    fail: () => {
      throw new FakeError('ODD', 418, () => {})
    },
  })
  await assert.rejects(
    peer.call('fail', () => {}),
    /could not be cloned/,
  )
  await assert.rejects(peer.call('add', { a: 1, b: 1 }), /could not be cloned/)
  await assert.rejects(peer.call('fail', undefined), { code: 'ODD', status: 418, details: undefined })
})

test('who stops waiting is free at once, and the other side is told', async () => {
  let told = false
  const { peer } = sums({
    wait: (_, signal) =>
      new Promise(() => {
        signal.addEventListener('abort', () => {
          told = true
        })
      }),
  })
  const abort = new AbortController()
  const waiting = peer.call('wait', undefined, abort.signal)
  setImmediate(() => setImmediate(() => abort.abort(new Error('enough'))))
  await assert.rejects(waiting, /enough/)
  await until(() => told)
  await assert.rejects(peer.call('wait', undefined, AbortSignal.abort(new Error('never'))), /never/)
})

test('when the other process goes, what waits fails, and its work here is called off', async () => {
  const { left, right, close } = channel()
  let calledOff = false
  new IpcPeer(right, {
    wait: (_: undefined, signal: AbortSignal) =>
      new Promise(() => {
        signal.addEventListener('abort', () => {
          calledOff = true
        })
        setImmediate(close)
      }),
  })
  const peer = new IpcPeer<Sums>(left, {})
  await assert.rejects(peer.call('wait', undefined), { code: 'GATEWAY_PROCESS_GONE', status: 503 })
  assert.ok(calledOff)
  await assert.rejects(peer.call('add', { a: 1, b: 1 }), { code: 'GATEWAY_PROCESS_GONE' })
  peer.notify('note', 'into the void')
})

test('a question that cannot be sent fails at once', async () => {
  const broken: IpcPort = {
    send: (_, done) => void setImmediate(() => done(new Error('closed'))),
    onMessage: () => {},
    onClose: () => {},
  }
  await assert.rejects(new IpcPeer<Sums>(broken, {}).call('add', { a: 1, b: 1 }), { code: 'GATEWAY_PROCESS_GONE' })
})

test('a process that hangs gets no more than the limit of questions, and none of the notices beyond it', async () => {
  let sent = 0
  const hung: IpcPort = { send: () => void sent++, onMessage: () => {}, onClose: () => {} }
  const peer = new IpcPeer<Sums>(hung, {})
  for (let count = 0; count < 4_096; count++) void peer.call('add', { a: 1, b: 1 })
  await assert.rejects(peer.call('add', { a: 1, b: 1 }), { code: 'GATEWAY_PROCESS_BUSY', status: 503 })
  for (let count = 0; count < 10_000; count++) peer.notify('note', 'x')
  assert.equal(sent, 8_192)
})

test('a notice reaches the other side; one that fails there disturbs nobody', async () => {
  const notes: string[] = []
  const { peer } = sums({
    note: (text) => {
      notes.push(text)
      throw new Error('no')
    },
  })
  peer.notify('note', 'one')
  peer.notify('note', 'two')
  await until(() => notes.length === 2)
  assert.deepEqual(notes, ['one', 'two'])
})

test('a method that does not exist is an error, also when its name is one that every object has', async () => {
  const { peer } = sums({})
  await assert.rejects(peer.call('add', { a: 1, b: 1 }), /no method add/)
  await assert.rejects(peer.call('toString' as never, undefined as never), /no method toString/)
})
