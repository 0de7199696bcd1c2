import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type HostBehaviour, pairsOf, Rig, type Seen, valuesOf } from './rig.ts'

/** One rule of an RFC, and what shows that it is kept. Everything that is not said is not looked at. */
export interface Row {
  /** As in "§3.2", of the file's RFC. */
  section: string
  /** The requirement, in our words. */
  rule: string
  /** What the client sends on a connection of its own; a sentinel request follows unless `alone`. */
  send: string
  alone?: boolean
  /** The client closes its side after that. */
  ends?: boolean
  /** Over plain TCP. */
  plain?: boolean
  /** What the host does. A plain 200 unless given. */
  host?: HostBehaviour
  hostCloses?: boolean
  /** Status codes of all answers that the client gets, without the sentinel's. */
  statuses?: number[]
  /** Whether the connection is used for another request. */
  goesOn?: boolean
  /** Fields that the first final answer must have; `undefined` for those that it must not have. */
  answer?: Record<string, string | undefined>
  body?: string
  trailers?: string[]
  /** How many requests reach the host. */
  hostRequests?: number
  /** Fields that the first request to the host must have, or must not. */
  request?: Record<string, string | undefined>
  requestBody?: string
  requestTrailers?: string[]
  /** Request line to the host, without the prefix of the program. */
  requestLine?: string
  /** Anything else. */
  check?(seen: Seen): void
}

/**
 * Runs every row as a test of its own, named "RFC <number> <section>: <rule>".
 * @returns the rig, for tests that do not fit a row; it stands while tests run
 */
export function testRows(rfc: string, rows: readonly Row[], config: Record<string, object> = {}): () => Rig {
  let rig: Rig
  before(async () => {
    rig = await Rig.start(config)
  })
  after(() => rig[Symbol.asyncDispose]())
  for (const row of rows) {
    test(`${rfc} ${row.section}: ${row.rule}`, async () => {
      rig.reset(row.host, row.hostCloses)
      const { alone = false, ends = false, plain = false } = row
      checkRow(row, await rig.send(row.send, { alone, ends, plain }))
    })
  }
  return () => rig
}

function checkRow(row: Row, seen: Seen): void {
  const shown = JSON.stringify({ client: seen.client.slice(0, 600), host: seen.host.slice(0, 600) })
  const statuses = seen.answers.map(({ status }) => status)
  if (row.statuses) assert.deepEqual(statuses, row.statuses, shown)
  if (row.goesOn !== undefined) assert.equal(seen.wentOn, row.goesOn, `the connection goes on: ${shown}`)
  const final = seen.answers.find(({ status }) => status >= 200)
  if (row.answer) checkFields(final?.fields ?? [], row.answer, shown)
  if (row.body !== undefined) assert.equal(final?.body, row.body, shown)
  if (row.trailers) assert.deepEqual(final?.trailers, row.trailers, shown)
  if (row.hostRequests !== undefined) assert.equal(seen.hostRequests.length, row.hostRequests, shown)
  const [request] = seen.hostRequests
  if (row.request) checkFields(pairsOf(request?.fields ?? []), row.request, shown)
  if (row.requestBody !== undefined) assert.equal(request?.body.toString('latin1'), row.requestBody, shown)
  if (row.requestTrailers) assert.deepEqual(request?.trailers, row.requestTrailers, shown)
  if (row.requestLine !== undefined) assert.equal(lineOf(seen), row.requestLine, shown)
  row.check?.(seen)
}

function checkFields(
  fields: readonly [string, string][],
  wanted: Record<string, string | undefined>,
  shown: string,
): void {
  for (const [name, value] of Object.entries(wanted)) {
    const values = valuesOf(fields, name)
    if (value === undefined) assert.deepEqual(values, [], `${name}: ${shown}`)
    else assert.equal(values.join(' | '), value, `${name}: ${shown}`)
  }
}

function lineOf({ host }: Seen): string {
  return host.slice(0, host.indexOf('\r\n')).replace(/\/vm\/[0-9a-f]{64}/, '')
}
