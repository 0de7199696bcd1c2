import { readFile } from 'node:fs/promises'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import { createSecureContext } from 'node:tls'
import { CaReplyError, CaUnreachableError } from '../errors.ts'

/** A reply of the CA, body complete. */
export interface AcmeReply {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
}

/** Sends one request to a CA. Never repeats one, never follows a redirect, never sleeps. */
export interface AcmeTransport extends Disposable {
  /** @throws CaUnreachableError, CaReplyError when the reply is too long, or the signal's reason */
  send(method: 'GET' | 'HEAD' | 'POST', url: string, body: string | undefined, signal: AbortSignal): Promise<AcmeReply>
}

export interface TransportOptions {
  /** PEM file of the roots to trust, in place of the system's: for a CA of one's own, or pebble. */
  caFile?: string | undefined
  requestTimeoutMs: number
  replyBytesMax: number
}

/**
 * HTTPS for one CA, with connections kept. `node:https` rather than `fetch`, which trusts the system's roots only and for the
 * whole process: two CAs may need different trust.
 */
export async function createTransport(options: TransportOptions): Promise<AcmeTransport> {
  const ca = options.caFile === undefined ? undefined : await readFile(options.caFile, 'utf8')
  // Made once: a context per connection took most of the time of an order, and the agent compares `ca` texts at each request.
  const agent = new Agent({
    keepAlive: true,
    maxSockets: 16,
    secureContext: createSecureContext(ca === undefined ? {} : { ca }),
  })
  return {
    send: (method, url, body, signal) => send({ agent, method, url, body, signal, options }),
    [Symbol.dispose]: () => agent.destroy(),
  }
}

interface SendCall {
  agent: Agent
  method: string
  url: string
  body: string | undefined
  signal: AbortSignal
  options: TransportOptions
}

function send({ agent, method, url, body, signal, options }: SendCall): Promise<AcmeReply> {
  if (!url.startsWith('https://') || !URL.canParse(url)) {
    throw new CaReplyError(`The certificate authority named an address that is not https: ${url.slice(0, 200)}.`)
  }
  const timeout = AbortSignal.timeout(options.requestTimeoutMs)
  const headers = {
    'user-agent': 'lastmile-acme/1',
    'accept-language': 'en',
    ...(body === undefined
      ? {}
      : { 'content-type': 'application/jose+json', 'content-length': Buffer.byteLength(body) }),
  }
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      if (signal.aborted) reject(signal.reason)
      else if (error instanceof CaReplyError) reject(error)
      else
        reject(
          new CaUnreachableError(
            url,
            timeout.aborted ? new Error(`no reply in ${options.requestTimeoutMs} ms`) : error,
          ),
        )
    }
    const call = request(url, { agent, method, headers, signal: AbortSignal.any([signal, timeout]) }, (reply) => {
      readBody(reply, options.replyBytesMax).then(
        (data) => resolve({ status: reply.statusCode ?? 0, headers: reply.headers, body: data }),
        fail,
      )
    })
    call.on('error', fail)
    call.end(body)
  })
}

async function readBody(reply: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of reply) {
    bytes += (chunk as Buffer).length
    if (bytes > bytesMax)
      throw new CaReplyError(`The certificate authority sent more than ${bytesMax} bytes in one reply.`)
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks)
}
