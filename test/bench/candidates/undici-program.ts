/** A proxy on `node:http` and undici's `dispatch`, its fastest interface: raw header fields both ways. Usage: undici-program.ts SETUP-JSON */
import { readFileSync } from 'node:fs'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import { type Dispatcher, Pool } from 'undici'
import type { NodeProxySetup } from './candidate.ts'

const setup = JSON.parse(process.argv[2] as string) as NodeProxySetup
const pool = new Pool(`http://127.0.0.1:${setup.originPort}`, { connections: 256, pipelining: 1 })
const hopByHop = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'expect', 'proxy-connection'])

function forward(request: IncomingMessage, response: ServerResponse): void {
  const hasBody = request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined
  const options = {
    path: request.url ?? '/',
    method: request.method as Dispatcher.HttpMethod,
    headers: upstreamFields(request),
    body: hasBody ? request : null,
  }
  let resume = (): void => {}
  pool.dispatch(options, {
    onConnect() {},
    onError() {
      if (!response.headersSent) response.writeHead(502)
      response.end()
    },
    onHeaders(status, fields, resumeOrigin) {
      resume = resumeOrigin
      response.writeHead(status, clientFields(fields))
      return true
    },
    onData(part) {
      if (response.write(part)) return true
      response.once('drain', resume)
      return false
    },
    onComplete() {
      response.end()
    },
  })
}

function upstreamFields(request: IncomingMessage): string[] {
  const fields: string[] = []
  for (let at = 0; at + 1 < request.rawHeaders.length; at += 2) {
    const name = request.rawHeaders[at] as string
    if (!hopByHop.has(name.toLowerCase())) fields.push(name, request.rawHeaders[at + 1] as string)
  }
  fields.push('X-Forwarded-For', request.socket.remoteAddress ?? '')
  fields.push('X-Forwarded-Proto', 'encrypted' in request.socket ? 'https' : 'http')
  fields.push('X-Forwarded-Host', request.headers.host ?? '')
  return fields
}

function clientFields(fields: readonly Buffer[]): string[] {
  const kept: string[] = []
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const name = (fields[at] as Buffer).toString('latin1')
    if (!hopByHop.has(name.toLowerCase())) kept.push(name, (fields[at + 1] as Buffer).toString('latin1'))
  }
  return kept
}

const [cert, key] = [readFileSync(setup.certificateFile), readFileSync(setup.keyFile)]
http
  .createServer({ keepAliveTimeout: 600_000 }, forward)
  .listen({ port: setup.httpPort, host: '127.0.0.1', backlog: 4_096 })
https
  .createServer({ cert, key, ecdhCurve: 'X25519', keepAliveTimeout: 600_000 }, forward)
  .listen({ port: setup.httpsPort, host: '127.0.0.1', backlog: 4_096 })
