import { timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { toProblem } from '../../core/errors.ts'
import { onDispose } from '../../core/lifecycle.ts'
import { InvalidShapeError, parseShape, z } from '../../core/schema.ts'
import { ZoneRecordInvalidError } from '../errors.ts'
import { nameFromText } from '../wire/name.ts'
import { findZone } from './answer-query.ts'
import type { Zone } from './zone.ts'
import { zoneRecordShape } from './zone-record.ts'

const bodyBytesMax = 262_144
const changeShape = z.strictObject({
  add: z.array(zoneRecordShape).max(1_000).default([]),
  remove: z
    .array(zoneRecordShape.partial({ value: true }))
    .max(1_000)
    .default([]),
})

/**
 * Starts the HTTP control on loopback: `POST /records` with `{ add: [ZoneRecord], remove: [ZoneRecord] }` changes the zones, removals
 * first; 204 when done. Every request carries `authorization: Bearer <token>`.
 */
export async function startZoneAdmin(
  port: number,
  token: string,
  zones: readonly Zone[],
): Promise<AsyncDisposable & { port: number }> {
  const server = createServer((request, response) => {
    void handle(request, response, token, zones).catch((error: unknown) => send(response, error))
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const stop = onDispose(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return Object.assign(stop, { port: (server.address() as AddressInfo).port })
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  token: string,
  zones: readonly Zone[],
): Promise<void> {
  if (!isToken(request.headers.authorization, token)) return end(response, 401)
  if (request.url !== '/records') return end(response, 404)
  if (request.method !== 'POST') return end(response, 405)
  const change = parseShape(changeShape, parseJson(await readBody(request)), 'change of records')
  for (const record of change.remove) zoneOf(zones, record.name).remove(record)
  for (const record of change.add) zoneOf(zones, record.name).add(record)
  end(response, 204)
}

function isToken(header: string | undefined, token: string): boolean {
  const given = Buffer.from(header ?? '')
  const wanted = Buffer.from(`Bearer ${token}`)
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > bodyBytesMax) throw new InvalidShapeError(`The change of records is larger than ${bodyBytesMax} bytes.`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch (cause) {
    throw new InvalidShapeError('The change of records is not JSON.', { cause })
  }
}

function zoneOf(zones: readonly Zone[], name: string): Zone {
  const wire = nameFromText(name)
  const zone = wire && findZone(zones, wire)
  if (zone) return zone
  throw new ZoneRecordInvalidError(`No zone of this server holds "${name}".`, {
    hint: `Its zones: ${zones.map((z) => z.origin).join(', ')}.`,
  })
}

function end(response: ServerResponse, status: number): void {
  response.writeHead(status).end()
}

function send(response: ServerResponse, error: unknown): void {
  const problem = toProblem(error)
  response.writeHead(problem.status, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem))
}
