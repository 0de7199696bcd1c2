import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import { connectTls } from '../../gateway/testing/client.ts'
import { startTestGateway, type TestGateway } from '../../gateway/testing/test-gateway.ts'
import { readAnswers } from '../fuzz/http1/check-answers.ts'
import { type ReadRequest, readRequests, writtenLimits } from '../fuzz/http1/read-requests.ts'

/** What a host does when a whole request has come: bytes to send, after which it may close, or a function of its own. */
export type HostBehaviour = string | Buffer | ((socket: Socket, request: ReadRequest) => void)

export const plainAnswer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
/** Sent behind a request, to see where that one ends and whether the connection goes on. */
export const sentinel = 'GET /sentinel HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n'
const sentinelAnswer = 'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsentinel'
/** A connection that nobody closes by then hangs. */
const hangMs = 8_000

/** An answer as the client read it. */
export interface SeenAnswer {
  status: number
  fields: [name: string, value: string][]
  body: string
  trailers: string[]
  complete: boolean
}

/** What both ends saw of one connection of a client. */
export interface Seen {
  /** Bytes that the client got, Latin-1. */
  client: string
  /** Informational answers included; the sentinel's left out. */
  answers: SeenAnswer[]
  /** The sentinel was answered as a request of its own, so the connection went on and both agree where the first message ended. */
  wentOn: boolean
  /** What the host got of everything but the sentinel: whole requests, and what came of one that never became whole. */
  host: string
  hostRequests: ReadRequest[]
}

/** A gateway with one site (`app.test`) on one host that does as it is told. */
export class Rig implements AsyncDisposable {
  readonly gateway: TestGateway
  behaviour: HostBehaviour = plainAnswer
  /** The host closes its connection after `behaviour`. */
  hostCloses = false
  #host = ''
  #hostRequests: ReadRequest[] = []
  readonly #server: net.Server
  readonly #sockets = new Set<Socket>()

  private constructor(gateway: TestGateway, server: net.Server) {
    this.gateway = gateway
    this.#server = server
    server.on('connection', (socket: Socket) => this.#serve(socket))
  }

  static async start(config: Record<string, object> = {}): Promise<Rig> {
    const server = net.createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const gateway = await startTestGateway({
      listen: { plainSites: true },
      balance: { ejectAfter: 1_000 },
      clients: { handshakesPerSecond: 0, requestsPerSecond: 0 },
      ...config,
    })
    gateway.hosts.add('one', `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    gateway.names.set('other.test', { kind: 'program', itemHash: 'cd'.repeat(32) })
    return new Rig(gateway, server)
  }

  /** Requests that the host got since the last call of `reset`, sentinels left out. */
  get hostRequests(): readonly ReadRequest[] {
    return this.#hostRequests
  }

  get hostBytes(): string {
    return this.#host
  }

  reset(behaviour: HostBehaviour = plainAnswer, hostCloses = false): void {
    this.behaviour = behaviour
    this.hostCloses = hostCloses
    this.#host = ''
    this.#hostRequests = []
  }

  /**
   * Sends bytes over a connection of their own, TLS unless `plain`, and waits until it is closed.
   * @param options - `alone`: no sentinel behind them, the bytes themselves lead to the end of the connection; `ends`: the client closes its
   * side after the bytes
   */
  async send(
    bytes: string | Buffer,
    options: { alone?: boolean; ends?: boolean; plain?: boolean } = {},
  ): Promise<Seen> {
    const { httpPort, httpsPort } = this.gateway
    const socket = options.plain
      ? net.connect({ port: httpPort, allowHalfOpen: true })
      : await connectTls(httpsPort, 'app.test')
    if (options.plain) socket.once('end', () => socket.end())
    const parts: Buffer[] = []
    socket.on('data', (part: Buffer) => parts.push(part))
    socket.on('error', () => {})
    socket.setTimeout(hangMs, () => socket.destroy(new Error('the connection hangs')))
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
    const first = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes
    const all = options.alone ? first : Buffer.concat([first, Buffer.from(sentinel)])
    if (options.ends) socket.end(all)
    else socket.write(all)
    await closed
    return this.see(Buffer.concat(parts), first.toString('latin1', 0, 5) === 'HEAD ' ? 'HEAD' : 'GET')
  }

  /** What a client has got, taken apart. */
  see(received: Buffer, firstMethod = 'GET'): Seen {
    const answers: SeenAnswer[] = []
    let rest = received
    while (rest.length > 0) {
      const read = readAnswers(rest, answers.length === 0 ? firstMethod : 'GET')
      for (const { status, fields, body, trailers, complete } of read.answers) {
        const pairs = fields.flatMap((name, i) => (i % 2 === 0 ? [[name, fields[i + 1]] as [string, string]] : []))
        answers.push({
          status,
          fields: pairs,
          body: body.toString('latin1'),
          trailers,
          complete: complete || status < 200,
        })
      }
      if (read.end !== 'whole') break
      rest = rest.subarray(read.used)
    }
    const wentOn = answers.at(-1)?.body === 'sentinel'
    if (wentOn) answers.pop()
    return {
      client: received.toString('latin1'),
      answers,
      wentOn,
      host: this.#host,
      hostRequests: this.#hostRequests,
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gateway[Symbol.asyncDispose]()
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {}).once('close', () => this.#sockets.delete(socket))
    let held: Buffer = Buffer.alloc(0)
    let told = 0
    let taken = false
    socket.on('data', (part: Buffer) => {
      if (taken) return
      held = Buffer.concat([held, part])
      const { requests, end } = readRequests(held, writtenLimits)
      const isSentinel = requests[0]?.target.endsWith('/sentinel') ?? false
      if (!isSentinel) {
        this.#host += held.toString('latin1', told)
        told = held.length
      }
      const [request] = requests
      if (!request?.complete) return
      held = Buffer.alloc(0)
      told = 0
      if (isSentinel) return void socket.write(sentinelAnswer)
      this.#hostRequests.push(request)
      const { behaviour } = this
      // A WebSocket: the rest is the behaviour's own.
      taken = end === 'upgraded' && typeof behaviour === 'function'
      if (typeof behaviour === 'function') return behaviour(socket, request)
      socket.write(typeof behaviour === 'string' ? Buffer.from(behaviour, 'latin1') : behaviour)
      if (this.hostCloses) socket.end()
    })
  }
}

/** Values of a field, in order. */
export function valuesOf(fields: readonly (readonly [string, string])[], name: string): string[] {
  return fields.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value)
}

/** Fields of a request as pairs. */
export function pairsOf(fields: readonly string[]): [string, string][] {
  return fields.flatMap((name, i) => (i % 2 === 0 ? [[name, fields[i + 1]] as [string, string]] : []))
}
