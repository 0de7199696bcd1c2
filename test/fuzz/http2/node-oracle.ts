import http2, { type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { Duplex } from 'node:stream'

/** A request as `node:http2` reads it. */
export interface NodeRequest {
  id: number
  /** Names and values in turn, pseudo-header fields first. */
  fields: string[]
}

class Wire extends Duplex {
  override _read(): void {}
  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done()
  }
}

export interface NodeSession {
  requests: NodeRequest[]
  /** It gave the connection up. */
  failed: boolean
}

let heard: NodeSession = { requests: [], failed: false }
// What it would complain of are the clients' faults, not ours to look at: only what it accepts matters.
const server = http2.createServer({
  settings: { enableConnectProtocol: true },
  maxSessionInvalidFrames: 1_000_000,
  maxSessionRejectedStreams: 1_000_000,
})
server.on('sessionError', () => {
  heard.failed = true
})
server.on('stream', (stream: ServerHttp2Stream, _fields: IncomingHttpHeaders, _flags: number, raw: string[]) => {
  stream.on('error', () => {}).resume()
  heard.requests.push({ id: stream.id ?? 0, fields: raw })
  if (!stream.destroyed && !stream.closed) stream.respond({ ':status': 200 }, { endStream: true })
})

/** What `node:http2` makes of a connection. */
export async function nodeHttp2Session(bytes: Buffer): Promise<NodeSession> {
  heard = { requests: [], failed: false }
  const wire = new Wire()
  wire.on('error', () => {})
  server.emit('connection', wire)
  wire.push(bytes)
  for (let turn = 0; turn < 4; turn++) await new Promise(setImmediate)
  const result = heard
  heard = { requests: [], failed: false }
  wire.destroy()
  return result
}
