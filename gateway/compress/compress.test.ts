import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  brotliDecompressSync,
  createBrotliDecompress,
  createGunzip,
  createZstdDecompress,
  gunzipSync,
  zstdDecompressSync,
} from 'node:zlib'
import fc from 'fast-check'
import { seededRandom } from '../../core/random.ts'
import { blockOf, type FieldBlock } from '../http1/field-block.ts'
import { until } from '../testing/until.ts'
import { chooseEncoding, type Encoding, encodings } from './choose-encoding.ts'
import { rewriteForEncoding } from './compressed-head.ts'
import type { CompressingBody } from './compressing-body.ts'
import { Compressors } from './compressors.ts'
import { type CompressMode, planCompression } from './plan-compression.ts'

const settings = { zstdLevel: 3, brotliQuality: 4, gzipLevel: 6, concurrentMax: 4 }
const decode = { zstd: zstdDecompressSync, br: brotliDecompressSync, gzip: gunzipSync }
const decoder = { zstd: createZstdDecompress, br: createBrotliDecompress, gzip: createGunzip }

test('the coding is chosen by the weight of the client, then by our own order', () => {
  const rows: [string, Encoding | undefined][] = [
    ['gzip, deflate, br, zstd', 'zstd'],
    ['gzip, deflate, br', 'br'],
    ['gzip', 'gzip'],
    ['X-GZIP', 'gzip'],
    ['GZip;Q=0.5', 'gzip'],
    ['br;q=0.5, gzip;q=0.8', 'gzip'],
    ['zstd;q=0, br;q=0.001', 'br'],
    ['*', 'zstd'],
    ['*;q=0', undefined],
    ['gzip;q=0, *', 'zstd'],
    ['zstd;q=0, br;q=0, *;q=0.5', 'gzip'],
    ['identity', undefined],
    ['identity, gzip', 'gzip'],
    ['identity, gzip;q=0.9', undefined],
    ['identity;q=0.5, gzip', 'gzip'],
    ['identity;q=0', undefined],
    ['identity;q=0, gzip;q=0.1', 'gzip'],
    ['', undefined],
    ['deflate, compress', undefined],
    ['gzip;q=2', undefined],
    ['gzip;q=0.0001', undefined],
    ['gzip;q=x', undefined],
    ['gzip;x=1;q=1', undefined],
    [' gzip ; q=1.000 ,, ', 'gzip'],
    ['gzip;q=0, gzip', undefined],
  ]
  for (const [text, encoding] of rows) {
    assert.equal(chooseEncoding(text), encoding, text)
    assert.equal(chooseEncoding(text), encoding, `${text} (remembered)`)
  }
})

test('no value of Accept-Encoding throws, and none gets a coding that it does not name', () => {
  const word = fc.constantFrom(
    'gzip',
    'br',
    'zstd',
    'identity',
    '*',
    'deflate',
    ';q=0',
    ';q=0.5',
    ';',
    ',',
    ', ',
    ' ',
    'q',
    '=',
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(word).map((words) => words.join('')),
      ),
      (text) => {
        const encoding = chooseEncoding(text)
        if (encoding) assert.ok(text.toLowerCase().includes(encoding) || text.includes('*'))
      },
    ),
    { numRuns: 1_000 },
  )
})

interface Case {
  asked?: string[]
  method?: string
  version?: '1.0' | '1.1' | '2'
  status?: number
  answer?: string[]
  bytes?: number
  mode?: CompressMode
}

function plan(given: Case): Encoding | undefined {
  const request = {
    method: given.method ?? 'GET',
    version: given.version ?? '1.1',
    fields: blockOf(given.asked ?? ['Accept-Encoding', 'gzip, br, zstd']),
  }
  const answer = blockOf(given.answer ?? ['Content-Type', 'text/html; charset=utf-8'])
  const rules = { mode: given.mode ?? 'public', minBytes: 1_400 } as const
  return planCompression(request, given.status ?? 200, answer, given.bytes ?? 5_000, rules)
}

test('text of some size is compressed, also when its length is not known', () => {
  for (const type of [
    'text/html',
    'TEXT/CSS',
    'application/json',
    'application/problem+json',
    'image/svg+xml',
    'text/javascript;x=y',
  ])
    assert.equal(plan({ answer: ['Content-Type', type] }), 'zstd', type)
  assert.equal(plan({ bytes: -1 }), 'zstd')
  assert.equal(plan({ status: 404 }), 'zstd')
  assert.equal(plan({ asked: ['Accept-Encoding', 'gzip', 'Accept-Encoding', 'br'] }), 'br')
})

test('what gains nothing, or must stay as it is, is not compressed', () => {
  const html = ['Content-Type', 'text/html']
  const rows: [string, Case][] = [
    ['a small body', { bytes: 1_399 }],
    ['no body', { bytes: 0 }],
    ['HEAD', { method: 'HEAD' }],
    ['HTTP/1.0', { version: '1.0' }],
    ['204', { status: 204, bytes: -1 }],
    ['304', { status: 304, bytes: -1 }],
    ['206', { status: 206 }],
    ['Content-Range', { answer: [...html, 'Content-Range', 'bytes 0-9/10'] }],
    ['Content-Encoding', { answer: [...html, 'Content-Encoding', 'gzip'] }],
    ['no-transform', { answer: [...html, 'Cache-Control', 'public', 'Cache-Control', 'max-age=1, No-Transform'] }],
    ['a digest', { answer: [...html, 'Content-Digest', 'sha-256=:x:'] }],
    ['no type', { answer: [] }],
    ['an event stream', { answer: ['Content-Type', 'text/event-stream'], bytes: -1 }],
    ['a picture', { answer: ['Content-Type', 'image/png'] }],
    ['video', { answer: ['Content-Type', 'video/mp4'] }],
    ['an archive', { answer: ['Content-Type', 'application/zip'] }],
    ['gRPC', { answer: ['Content-Type', 'application/grpc+proto'], bytes: -1 }],
    ['WOFF2', { answer: ['Content-Type', 'font/woff2'] }],
    ['a client that asks for none', { asked: [] }],
    ['a client that asks for others', { asked: ['Accept-Encoding', 'deflate'] }],
    ['a site that wants none', { mode: 'off' }],
  ]
  for (const [title, given] of rows) {
    assert.equal(plan(given), undefined, title)
    if (given.mode === undefined) assert.equal(plan({ ...given, mode: 'all' }), undefined, title)
  }
})

test('a document that is somebody’s own is left alone unless the site says otherwise or the answer is public', () => {
  const accept = ['Accept-Encoding', 'br']
  const withCookie = [...accept, 'Cookie', 'session=1']
  const withToken = [...accept, 'Authorization', 'Bearer x']
  const html = ['Content-Type', 'text/html']
  const css = ['Content-Type', 'text/css']
  assert.equal(plan({ asked: withCookie, answer: html }), undefined)
  assert.equal(plan({ asked: withCookie, answer: css }), 'br')
  assert.equal(plan({ asked: withToken, answer: css }), undefined)
  assert.equal(plan({ asked: accept, answer: [...css, 'Set-Cookie', 'a=b'] }), undefined)
  assert.equal(plan({ asked: withCookie, answer: [...html, 'Cache-Control', 'max-age=60, public'] }), 'br')
  assert.equal(plan({ asked: withCookie, answer: [...html, 'Cache-Control', 'x-public'] }), undefined)
  assert.equal(plan({ asked: withCookie, answer: html, mode: 'all' }), 'br')
  assert.equal(plan({ asked: withToken, answer: [...html, 'Set-Cookie', 'a=b'], mode: 'all' }), 'br')
})

function rewritten(pairs: string[]): string[] {
  const fields: FieldBlock = blockOf(pairs)
  const added = rewriteForEncoding(fields, 'br')
  return [...fields.pairs(), ...added.pairs()]
}

test('the head of a compressed answer tells of it, and of nothing that was true of the plain form only', () => {
  assert.deepEqual(
    rewritten([
      'Content-Type',
      'text/css',
      'Content-Length',
      '5000',
      'Accept-Ranges',
      'bytes',
      'ETag',
      '"v1"',
      'X',
      'y',
    ]),
    ['Content-Type', 'text/css', 'X', 'y', 'Content-Encoding', 'br', 'ETag', 'W/"v1"', 'Vary', 'Accept-Encoding'],
  )
  assert.deepEqual(rewritten(['ETag', 'W/"v1"', 'Vary', 'Origin, Accept-encoding']), [
    'ETag',
    'W/"v1"',
    'Vary',
    'Origin, Accept-encoding',
    'Content-Encoding',
    'br',
  ])
  assert.deepEqual(rewritten(['Vary', 'Origin']), [
    'Vary',
    'Origin',
    'Content-Encoding',
    'br',
    'Vary',
    'Accept-Encoding',
  ])
  assert.deepEqual(rewritten(['Vary', '*', 'ETag', 'no tag']), ['Vary', '*', 'Content-Encoding', 'br'])
})

/** Collects what a body sends; `take` says whether a part is wanted at once. */
class Collector {
  parts: Buffer[] = []
  ended = false
  drains = 0
  failed: Error | undefined
  body: CompressingBody | undefined
  readonly #take: () => boolean
  constructor(take: () => boolean = () => true) {
    this.#take = take
  }
  onPart(part: Buffer): boolean {
    this.parts.push(part)
    return this.#take()
  }
  onEnd(): void {
    this.ended = true
  }
  onDrain(): void {
    this.drains++
  }
  onError(cause: Error): void {
    this.failed = cause
  }
}

function start(compressors: Compressors, encoding: Encoding, sink: Collector): CompressingBody {
  const body = compressors.start(encoding, sink)
  assert.ok(body)
  return body
}

test('a body comes out as it went in, whatever it is cut into, while its memory is used for other things', async () => {
  const seed = 20_261
  const random = seededRandom(seed)
  for (const encoding of encodings) {
    const compressors = new Compressors(settings)
    const plain = Buffer.concat([Buffer.from('hello '.repeat(20_000)), Buffer.from(random.bytes(100_000))])
    const sink = new Collector()
    const body = start(compressors, encoding, sink)
    const reused = Buffer.alloc(20_000)
    for (let at = 0; at < plain.length; ) {
      const part = reused.subarray(0, Math.min(1 + Math.floor(random.float() * reused.length), plain.length - at))
      plain.copy(part, 0, at)
      body.write(part)
      reused.fill(0xdb)
      at += part.length
      if (random.float() < 0.3) await new Promise((resolve) => setImmediate(resolve))
    }
    body.end()
    await until(() => sink.ended)
    assert.equal(compressors.active, 0)
    assert.ok(decode[encoding](Buffer.concat(sink.parts)).equals(plain), `${encoding}, seed ${seed}`)
  }
})

test('an answer that comes bit by bit leaves bit by bit', async () => {
  for (const encoding of encodings) {
    const sink = new Collector()
    const body = start(new Compressors(settings), encoding, sink)
    const plain = decoder[encoding]()
    let text = ''
    plain.on('data', (part) => {
      text += part
    })
    for (const line of ['first\n', 'second\n', 'third\n']) {
      body.write(Buffer.from(line))
      // No more is written until this line has come out at the other end.
      await until(() => {
        for (const part of sink.parts.splice(0)) plain.write(part)
        return text.endsWith(line)
      })
    }
    body.end()
    await until(() => sink.ended)
  }
})

test('a client that does not read holds the source back, with little in memory', async () => {
  const sink = new Collector(() => false)
  const body = start(new Compressors(settings), 'gzip', sink)
  // Noise that does not repeat, so that as much comes out as goes in.
  const noise = Buffer.from(seededRandom(7).bytes(700_000))
  let wrote = 0
  const pump = (): void => {
    while (wrote < noise.length) {
      const part = noise.subarray(wrote, wrote + 16_000)
      wrote += part.length
      if (!body.write(part)) return
    }
    body.end()
  }
  sink.onDrain = pump
  pump()
  let before = -1
  await until(() => {
    const stands = wrote === before && sink.parts.length > 0
    before = wrote
    return stands
  })
  assert.equal(sink.parts.length, 1)
  assert.ok(wrote < 400_000, `${wrote} bytes went in`)
  await until(() => {
    body.resume()
    return sink.ended
  })
  assert.ok(gunzipSync(Buffer.concat(sink.parts)).equals(noise))
})

test('so many bodies are compressed at a time and no more; one that ends or is given up makes room', async () => {
  const compressors = new Compressors({ ...settings, concurrentMax: 2 })
  const [one, two] = [new Collector(), new Collector()]
  const [first, second] = [start(compressors, 'br', one), start(compressors, 'zstd', two)]
  assert.equal(compressors.start('gzip', new Collector()), undefined)
  first.write(Buffer.alloc(100_000, 'x'))
  first.destroy()
  first.destroy()
  first.write(Buffer.from('late'))
  first.end()
  first.resume()
  assert.equal(compressors.active, 1)
  second.end()
  await until(() => two.ended)
  assert.equal(compressors.active, 0)
  assert.equal(one.ended, false)
  assert.equal(one.parts.length, 0)
})

test('a small body that is there as a whole is compressed on the spot, unless that makes it larger', () => {
  const compressors = new Compressors(settings)
  const text = Buffer.from('{"name":"value"},'.repeat(400))
  for (const encoding of encodings) {
    const small = compressors.whole(encoding, text)
    assert.ok(small && small.length < text.length / 10)
    assert.ok(decode[encoding](small).equals(text))
    assert.equal(compressors.whole(encoding, Buffer.from(seededRandom(1).bytes(2_000))), undefined)
    assert.equal(compressors.whole(encoding, Buffer.alloc(16_385)), undefined)
  }
})

test('one answer leaves no trace in the next', async () => {
  const compressors = new Compressors(settings)
  const secret = Buffer.from('the session token is 0123456789abcdef '.repeat(50))
  for (const encoding of encodings) {
    const alone = compressors.whole(encoding, secret)
    const streamed: number[] = []
    for (let i = 0; i < 2; i++) {
      const sink = new Collector()
      const body = start(compressors, encoding, sink)
      body.write(secret)
      body.end()
      await until(() => sink.ended)
      streamed.push(Buffer.concat(sink.parts).length)
    }
    assert.equal(streamed[0], streamed[1], 'the second time is not shorter')
    assert.equal(compressors.whole(encoding, secret)?.length, alone?.length)
  }
})
