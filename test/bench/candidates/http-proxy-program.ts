/** The usual proxy on `http-proxy` with a keep-alive agent. Usage: http-proxy-program.ts SETUP-JSON */
import { readFileSync } from 'node:fs'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'
import httpProxy from 'http-proxy'
import type { NodeProxySetup } from './candidate.ts'

const setup = JSON.parse(process.argv[2] as string) as NodeProxySetup
const proxy = httpProxy.createProxyServer({
  target: `http://127.0.0.1:${setup.originPort}`,
  agent: new http.Agent({ keepAlive: true, maxSockets: 256 }),
  xfwd: true,
})
proxy.on('error', (_error, _request, response) => {
  if ('writeHead' in response && !response.headersSent) response.writeHead(502)
  response.end()
})
const forward = (request: IncomingMessage, response: ServerResponse): void => proxy.web(request, response)
const upgrade = (request: IncomingMessage, socket: Socket, head: Buffer): void => proxy.ws(request, socket, head)
const [cert, key] = [readFileSync(setup.certificateFile), readFileSync(setup.keyFile)]

http
  .createServer({ keepAliveTimeout: 600_000 }, forward)
  .on('upgrade', upgrade)
  .listen({ port: setup.httpPort, host: '127.0.0.1', backlog: 4_096 })
https
  .createServer({ cert, key, ecdhCurve: 'X25519', keepAliveTimeout: 600_000 }, forward)
  .on('upgrade', upgrade)
  .listen({ port: setup.httpsPort, host: '127.0.0.1', backlog: 4_096 })
