import { Resolver } from 'node:dns/promises'
import http from 'node:http'
import https from 'node:https'
import type { LookupFunction } from 'node:net'
import type { Readable } from 'node:stream'
import tls from 'node:tls'

export interface OutsideClientOptions {
  dnsServer: { host: string; port: number }
  /** The root that the ACME CA issues under, PEM. */
  caPem: string
  httpPort: number
  httpsPort: number
}

export interface Answer {
  status: number
  headers: http.IncomingHttpHeaders
  rawHeaders: string[]
  body: Buffer
  /** The leaf certificate, when the answer came over TLS. */
  certificate?: tls.PeerCertificate
  ms: number
}

export interface AskOptions {
  method?: string
  headers?: http.OutgoingHttpHeaders
  body?: string | Buffer | Readable
  timeoutMs?: number
  agent?: https.Agent
  /** A TLS connection that stands already, for this one request. */
  connection?: tls.TLSSocket
}

/**
 * A client as the world outside has it: it asks DNS for the name, checks the chain against the CA's root, and knows nothing
 * of the network's insides but the two ports that stand for 80 and 443.
 */
export class OutsideClient {
  readonly options: OutsideClientOptions
  #resolver = new Resolver({ timeout: 3_000, tries: 2 })

  constructor(options: OutsideClientOptions) {
    this.options = options
    this.#resolver.setServers([`${options.dnsServer.host}:${options.dnsServer.port}`])
  }

  /** The address of a name by DNS. */
  async address(host: string): Promise<string> {
    const [first] = await this.#resolver.resolve4(host)
    if (first === undefined) throw new Error(`DNS knows no address of ${host}`)
    return first
  }

  readonly lookup: LookupFunction = (host, options, done) => {
    this.address(host).then(
      (address) => (options.all ? done(null, [{ address, family: 4 }]) : done(null, address, 4)),
      (error: NodeJS.ErrnoException) => done(error, '', 4),
    )
  }

  /** Sends a request and reads the whole answer. Certificate errors reject. */
  async ask(url: string, options: AskOptions = {}): Promise<Answer> {
    const startedAt = performance.now()
    const response = await this.open(url, options)
    const chunks: Buffer[] = []
    const certificate = response.socket instanceof tls.TLSSocket ? response.socket.getPeerCertificate(true) : undefined
    for await (const chunk of response) chunks.push(chunk as Buffer)
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      rawHeaders: response.rawHeaders,
      body: Buffer.concat(chunks),
      ...(certificate ? { certificate } : {}),
      ms: performance.now() - startedAt,
    }
  }

  /** Sends a request; resolves with the response once its head is here, its body unread. */
  open(url: string, options: AskOptions = {}): Promise<http.IncomingMessage> {
    const target = new URL(url)
    const secure = target.protocol === 'https:'
    return new Promise((resolve, reject) => {
      const request = (secure ? https : http).request(
        {
          host: target.hostname,
          servername: target.hostname,
          port: secure ? this.options.httpsPort : this.options.httpPort,
          path: target.pathname + target.search,
          method: options.method ?? 'GET',
          headers: { host: target.host, ...options.headers },
          ca: this.options.caPem,
          lookup: this.lookup,
          agent: options.agent ?? false,
          ...(options.connection ? { createConnection: () => options.connection } : {}),
        },
        resolve,
      )
      request.setTimeout(options.timeoutMs ?? 30_000, () =>
        request.destroy(new Error(`no answer from ${url} within ${options.timeoutMs ?? 30_000} ms`)),
      )
      request.on('error', reject)
      if (options.body === undefined || typeof options.body === 'string' || Buffer.isBuffer(options.body))
        request.end(options.body)
      else options.body.pipe(request).on('error', reject)
    })
  }

  /** An agent that keeps connections, for checks about warm requests. */
  keepAliveAgent(): https.Agent {
    return new https.Agent({ keepAlive: true, maxSockets: 64 })
  }

  /** One TLS connection to the gateway for `host`. */
  async connectTls(host: string, options: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> {
    const address = await this.address(host)
    const socket = tls.connect({
      host: address,
      port: this.options.httpsPort,
      servername: host,
      ca: this.options.caPem,
      ALPNProtocols: ['http/1.1'],
      ...options,
    })
    await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
    return socket
  }
}
