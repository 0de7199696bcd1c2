import http, { type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { ReadRequest } from './read-requests.ts'

/** A connection of Node's whose bytes are handed over in one call. What is written to it goes nowhere. */
class Wire extends Duplex {
  override _read(): void {}
  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done()
  }
  setTimeout(): this {
    return this
  }
  setNoDelay(): this {
    return this
  }
  setKeepAlive(): this {
    return this
  }
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }
  destroySoon(): void {
    this.destroy()
  }
}

/** What Node's parser makes of a connection. */
export interface NodeReading<T> {
  messages: T[]
  /** Code of its error, if it found one. */
  error: string | undefined
}

const server = http.createServer({ maxHeaderSize: 65_536 })
server.maxHeadersCount = 0
let heard: NodeReading<ReadRequest> = { messages: [], error: undefined }
const hear = (request: IncomingMessage): void => {
  const { method = '', url = '', httpVersion, rawHeaders } = request
  const read = { method, target: url, version: httpVersion, fields: rawHeaders, ...noBody() }
  heard.messages.push(read)
  collect(request, read)
}
server.on('request', hear)
server.on('checkContinue', hear)
server.on('clientError', (error: Error & { code?: string }, socket: Duplex) => {
  heard.error = error.code ?? error.message
  socket.destroy()
})

/** The requests that `node:http` finds on a connection, in its strict mode. Everything happens within the call. */
export function nodeRequests(bytes: Buffer): NodeReading<ReadRequest> {
  heard = { messages: [], error: undefined }
  const wire = new Wire()
  server.emit('connection', wire)
  wire.emit('data', bytes)
  const result = heard
  heard = { messages: [], error: undefined }
  wire.destroy()
  return result
}

/** An answer as one reader understands it. */
export interface ReadAnswer {
  status: number
  fields: string[]
  body: Buffer
  trailers: string[]
  complete: boolean
}

/**
 * What the client of `node:http` reads after a request with this method: informational answers, then the final one. The connection ends
 * after the bytes.
 */
export async function nodeAnswers(bytes: Buffer, method: string): Promise<NodeReading<ReadAnswer>> {
  const result: NodeReading<ReadAnswer> = { messages: [], error: undefined }
  const wire = new Wire()
  const request = http.request({
    method,
    maxHeaderSize: 65_536,
    headers: { Host: 'app.test' },
    createConnection: () => wire as unknown as Socket,
  })
  request.maxHeadersCount = 0
  const add = (status: number, fields: string[]): ReadAnswer => {
    const read = { status, fields, ...noBody() }
    result.messages.push(read)
    return read
  }
  const failed = (error: Error & { code?: string }): void => {
    result.error ??= error.code ?? error.message
  }
  request.on('information', ({ statusCode, rawHeaders }) => void add(statusCode, rawHeaders))
  request.on('upgrade', ({ statusCode = 0, rawHeaders }) => void add(statusCode, rawHeaders))
  request.on('response', (response) => {
    response.on('error', failed)
    collect(response, add(response.statusCode ?? 0, response.rawHeaders))
  })
  request.on('error', failed)
  request.end()
  // The request gets its socket in the next turn.
  await new Promise(setImmediate)
  wire.emit('data', bytes)
  wire.emit('end')
  await new Promise(setImmediate)
  wire.destroy()
  return result
}

function noBody(): Pick<ReadRequest, 'body' | 'trailers' | 'complete'> {
  return { body: Buffer.alloc(0), trailers: [], complete: false }
}

/** Takes the body as the parser hands it over, without waiting for the stream to flow. */
function collect(message: IncomingMessage, into: Pick<ReadRequest, 'body' | 'trailers' | 'complete'>): void {
  const parts: Buffer[] = []
  message.push = (part: Buffer | null): boolean => {
    if (part !== null) {
      parts.push(Buffer.from(part))
      into.body = Buffer.concat(parts)
    } else {
      into.complete = true
      into.trailers = message.rawTrailers
    }
    return true
  }
}
