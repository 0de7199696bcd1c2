import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { clientPreface, FrameType } from '../../gateway/http2/frame.ts'
import { headers, RawClient, type RawFrame, request } from '../../gateway/listen/http2/testing/raw-client.ts'
import { type HostBehaviour, pairsOf, Rig } from './rig.ts'

/** What a connection or stream must come to. Unless the connection has to end, a further request on it must be answered. */
export interface H2Row {
  section: string
  rule: string
  /** Frames after preface and SETTINGS. */
  send: Buffer[]
  host?: HostBehaviour
  hostCloses?: boolean
  /** Error codes, one of which ends the connection by GOAWAY. */
  connectionError?: number[]
  /** Error codes, one of which resets stream 1 and nothing else. */
  streamError?: number[]
  /** Stream 1 is answered with this status, and another request after it. */
  status?: number
  /** Fields that the answer on stream 1 must have; `undefined` for those that it must not have. */
  answer?: Record<string, string | undefined>
  body?: string
  /** Requests that reach the host before the one that shows the connection alive. */
  hostRequests?: number
  /** Fields that the first request to the host must have, or must not. */
  request?: Record<string, string | undefined>
  requestBody?: string
  requestTrailers?: string[]
  requestLine?: string
  check?(client: RawClient, rig: Rig): void | Promise<void>
}

/** The stream that shows a connection alive. */
const lastId = 101

export function testH2Rows(rfc: string, rows: readonly H2Row[]): () => Rig {
  let rig: Rig
  before(async () => {
    rig = await Rig.start()
  })
  after(() => rig[Symbol.asyncDispose]())
  for (const row of rows) {
    test(`${rfc} ${row.section}: ${row.rule}`, async () => {
      rig.reset(row.host, row.hostCloses)
      await using client = await RawClient.start(rig.gateway.httpsPort)
      client.send(...row.send)
      await checkRow(row, client, rig)
    })
  }
  return () => rig
}

/** Connects and sends nothing but what is given, for rules about the beginning. */
export async function openRaw(rig: Rig, ...parts: Buffer[]): Promise<RawClient> {
  const client = await RawClient.open(rig.gateway.httpsPort)
  client.send(...parts)
  return client
}

export const preface: Buffer = clientPreface

async function checkRow(row: H2Row, client: RawClient, rig: Rig): Promise<void> {
  if (row.connectionError) {
    const code = await client.error(0)
    assert.ok(row.connectionError.includes(code), `GOAWAY with ${code}`)
    await untilClosed(client)
    if (row.hostRequests !== undefined) assert.equal(rig.hostRequests.length, row.hostRequests)
    return
  }
  if (row.streamError) {
    const code = await client.error(1)
    assert.ok(row.streamError.includes(code), `RST_STREAM with ${code}`)
  }
  if (row.status !== undefined) await client.ended(1)
  const seen = [...rig.hostRequests]
  checkAnswer(row, client)
  if (row.hostRequests !== undefined) assert.equal(seen.length, row.hostRequests)
  checkRequest(row, rig)
  await row.check?.(client, rig)
  await checkAlive(client)
}

function checkAnswer(row: H2Row, client: RawClient): void {
  if (row.status === undefined) return
  const frames = client.of(FrameType.headers, 1).filter(({ fields }) => fields?.[0] === ':status')
  const final = frames.find(({ fields }) => Number(fields?.[1]) >= 200)
  assert.equal(final?.fields?.[1], String(row.status), client.describe())
  checkPairs(final, row.answer)
  if (row.body !== undefined) assert.equal(client.body(1).toString('latin1'), row.body)
}

function checkPairs(frame: RawFrame | undefined, wanted: Record<string, string | undefined> = {}): void {
  const pairs = pairsOf(frame?.fields ?? [])
  for (const [name, value] of Object.entries(wanted)) {
    // Exactly as written: names are in lower case.
    const values = pairs.filter(([key]) => key === name).map((pair) => pair[1])
    assert.equal(values.length === 0 ? undefined : values.join(' | '), value, `${name}: ${JSON.stringify(pairs)}`)
  }
}

function checkRequest(row: H2Row, rig: Rig): void {
  const [request] = rig.hostRequests
  const pairs = pairsOf(request?.fields ?? [])
  for (const [name, value] of Object.entries(row.request ?? {})) {
    const values = pairs.filter(([key]) => key.toLowerCase() === name).map((pair) => pair[1])
    assert.equal(values.length === 0 ? undefined : values.join(' | '), value, `${name}: ${rig.hostBytes}`)
  }
  if (row.requestBody !== undefined) assert.equal(request?.body.toString('latin1'), row.requestBody)
  if (row.requestTrailers) assert.deepEqual(request?.trailers, row.requestTrailers)
  if (row.requestLine !== undefined) {
    const line = rig.hostBytes.slice(0, rig.hostBytes.indexOf('\r\n')).replace(/\/vm\/[0-9a-f]{64}/, '')
    assert.equal(line, row.requestLine)
  }
}

/** The connection still serves: whatever went before concerned its stream alone. */
async function checkAlive(client: RawClient): Promise<void> {
  client.send(headers(lastId, request('GET', '/sentinel')))
  await client.ended(lastId)
  assert.equal(client.body(lastId).toString(), 'sentinel', client.describe())
}

async function untilClosed(client: RawClient): Promise<void> {
  const endMs = performance.now() + 5_000
  while (!client.closed && performance.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 5))
  assert.ok(client.closed, 'the connection closes after GOAWAY')
}
