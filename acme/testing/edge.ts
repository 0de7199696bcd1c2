import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createSecureContext, createServer as createTlsServer } from 'node:tls'
import { startProcess } from '../../core/child-process.ts'
import { freePort } from '../../core/free-port.ts'
import type { ChallengeResponder, TxtZone } from '../ports.ts'

/** The part of a gateway that a CA talks to: plain HTTP with the challenge path, and TLS with ALPN `acme-tls/1`. */
export interface TestEdge extends AsyncDisposable {
  httpPort: number
  tlsPort: number
  /** Whom to ask for answers; set after the start, since a CA must know the ports first. */
  responders: readonly ChallengeResponder[]
}

/** Starts both listeners on free ports of 127.0.0.1. */
export async function startTestEdge(): Promise<TestEdge> {
  const edge: TestEdge = { httpPort: 0, tlsPort: 0, responders: [], [Symbol.asyncDispose]: async () => {} }
  const http = createServer((request, response) => {
    const host = (request.headers.host ?? '').replace(/:\d+$/, '')
    const token = /^\/\.well-known\/acme-challenge\/([\w-]+)$/.exec(request.url ?? '')?.[1] ?? ''
    const answer = edge.responders
      .map((responder) => responder.httpChallenge?.(host, token))
      .find((found) => found !== undefined)
    response
      .writeHead(answer === undefined ? 404 : 200, { 'content-type': 'text/plain' })
      .end(answer ?? 'no such challenge')
  })
  const tls = createTlsServer({
    // The form the gateway uses: the ALPN choice comes first, then the certificate by name (reference: section 4).
    ALPNCallback: ({ protocols }) => (protocols.includes('acme-tls/1') ? 'acme-tls/1' : undefined),
    SNICallback: (serverName, done) => {
      const found = edge.responders
        .map((responder) => responder.alpnChallenge?.(serverName))
        .find((answer) => answer !== undefined)
      if (found === undefined) done(new Error('no certificate for this name'))
      else done(null, createSecureContext({ cert: found.certificatePem, key: found.keyPem }))
    },
  })
  tls.on('tlsClientError', () => {})
  edge.httpPort = await listen(http)
  edge.tlsPort = await listen(tls as unknown as Server)
  edge[Symbol.asyncDispose] = async () => {
    http.closeAllConnections()
    await Promise.all([http, tls].map((server) => new Promise((resolve) => server.close(resolve))))
  }
  return edge
}

/** pebble's companion as an authoritative zone: every name leads to 127.0.0.1, TXT records by its management interface. */
export interface TestZone extends AsyncDisposable, TxtZone {
  dnsServer: string
  managementUrl: string
  /** Makes questions for a name fail with SERVFAIL. */
  breakName(name: string): Promise<void>
}

/** Starts `pebble-challtestsrv` with its challenge servers switched off. */
export async function startTestZone(): Promise<TestZone> {
  const [dns, management] = [await freePort(), await freePort()]
  const post = async (path: string, body: unknown): Promise<void> => {
    const reply = await fetch(`http://127.0.0.1:${management}${path}`, { method: 'POST', body: JSON.stringify(body) })
    if (!reply.ok) throw new Error(`pebble-challtestsrv answered ${reply.status} to ${path}`)
  }
  const flags = ['-defaultIPv4', '127.0.0.1', '-defaultIPv6', '', '-http01', '', '-https01', '', '-tlsalpn01', '']
  const child = await startProcess({
    name: 'pebble-challtestsrv',
    command: 'pebble-challtestsrv',
    args: [...flags, '-dns01', `127.0.0.1:${dns}`, '-management', `127.0.0.1:${management}`],
    ready: () =>
      post('/clear-txt', { host: 'ready.test.' }).then(
        () => true,
        () => false,
      ),
  })
  return {
    dnsServer: `127.0.0.1:${dns}`,
    managementUrl: `http://127.0.0.1:${management}`,
    addTxt: (name, value) => post('/set-txt', { host: `${name}.`, value }),
    // Its interface can only clear all values of a name.
    removeTxt: (name) => post('/clear-txt', { host: `${name}.` }),
    breakName: (name) => post('/set-servfail', { host: `${name}.` }),
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  }
}

/** Looks until `condition` holds, in real time. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 10_000,
): Promise<void> {
  const startedAt = performance.now()
  while (!(await condition())) {
    if (performance.now() - startedAt > timeoutMs) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}
