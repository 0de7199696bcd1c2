/**
 * The bare engine: the gateway's own sockets, scanners and pools with nothing between them, for the feature tax. It forwards every request
 * to one host as it came: no routes, no policy, no balance, no limits, no metrics. Never to be used for anything else.
 * Usage: bare-program.ts SETUP-JSON (as gateway-program.ts)
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { systemClock } from '../../../core/clock.ts'
import { runUntilStopped } from '../../../core/lifecycle.ts'
import { silentLog } from '../../../core/log.ts'
import { createMetrics } from '../../../core/metrics.ts'
import { systemRandom } from '../../../core/random.ts'
import { TimingWheel } from '../../../core/timing-wheel.ts'
import { gatewayConfigSchema } from '../../../gateway/config.ts'
import type { AnswerHead, Exchange, RequestSink } from '../../../gateway/forward/exchange.ts'
import type { FieldBlock } from '../../../gateway/http1/field-block.ts'
import { dropToHost } from '../../../gateway/http1/known-fields.ts'
import { Connections } from '../../../gateway/listen/connections.ts'
import { serveHttp1 } from '../../../gateway/listen/http1/serve-http1.ts'
import { Http2Connection } from '../../../gateway/listen/http2/http2-connection.ts'
import { createHttp2Context } from '../../../gateway/listen/http2/ports.ts'
import { type ListenContext, settingsOf } from '../../../gateway/listen/listen-context.ts'
import { canReadInto } from '../../../gateway/listen/read-into.ts'
import { SocketClient } from '../../../gateway/listen/socket-client.ts'
import { createTlsListener } from '../../../gateway/listen/tls/tls-listener.ts'
import { gatewayMetrics } from '../../../gateway/metrics.ts'
import { keepBody, letGoBody } from '../../../gateway/serve/kept-bodies.ts'
import { HostPools } from '../../../gateway/upstream/host-pools.ts'
import type { AnswerSink, HostAnswer, HostRequest, HostStream } from '../../../gateway/upstream/host-stream.ts'
import { programHash } from '../content.ts'
import type { GatewaySetup } from '../gateway-program.ts'

const setup = JSON.parse(process.argv[2] as string) as GatewaySetup
const settings = settingsOf(gatewayConfigSchema.parse({ zone: 'zone.test', workers: 0 }))
const wheel = new TimingWheel(systemClock)
const pools = new HostPools(settings, wheel)
const pathPrefix = Buffer.from(`/vm/${programHash}`)
const noLines = Buffer.alloc(0)
const answerHead: AnswerHead = { status: 0, fields: undefined as unknown as FieldBlock, extra: [], bodyBytes: 0 }

class Relay implements RequestSink, AnswerSink {
  readonly #exchange: Exchange
  readonly #stream: HostStream | undefined
  readonly #streams: boolean
  #body: Buffer | undefined = undefined

  constructor(exchange: Exchange) {
    this.#exchange = exchange
    const { head } = exchange
    head.fields.dropBy(dropToHost)
    const request: HostRequest = {
      method: head.method,
      pathPrefix,
      pathStart: head.pathStart,
      pathEnd: head.pathEnd,
      host: head.host,
      fields: head.fields,
      extraLines: noLines,
      bodyBytes: head.bodyBytes,
      upgrade: head.upgrade && { key: undefined, idleMs: 600_000 },
    }
    exchange.listen(this)
    const body = head.bodyBytes === 0 ? undefined : exchange.takeWholeBody()
    this.#streams = head.bodyBytes !== 0 && !body
    this.#stream = pools.acquire(setup.origins[0] as string, this)
    if (!this.#stream) {
      exchange.cut()
      return
    }
    this.#body = body && keepBody(body)
    const ready = this.#stream.send(request, this.#body, !this.#streams)
    if (ready && this.#streams) exchange.readBody(this)
  }

  onBody(part: Buffer): boolean {
    return this.#stream?.write(part) ?? true
  }

  onBodyEnd(): void {
    this.#stream?.end()
  }

  onClientDrain(): void {
    this.#stream?.resumeAnswer()
  }

  onClientGone(): void {
    this.#stream?.cancel()
  }

  onInformational(): void {}

  onAnswer({ status, fields, bodyBytes }: HostAnswer, part: Buffer | undefined, last: boolean): boolean {
    // As the gateway does, so that only what differs is measured.
    if (this.#body) letGoBody(this.#body)
    this.#body = undefined
    answerHead.status = status
    answerHead.fields = fields
    answerHead.bodyBytes = bodyBytes < 0 ? -1 : bodyBytes
    return this.#exchange.answer(answerHead, part, last)
  }

  onSwitched(fields: FieldBlock): void {
    this.#exchange.upgrade(fields, [])
    this.#exchange.readBody(this)
  }

  onAnswerBody(part: Buffer): boolean {
    return this.#exchange.write(part)
  }

  onAnswerEnd(): void {
    this.#exchange.end()
  }

  onHostDrain(): void {
    if (this.#streams) this.#exchange.readBody(this)
    this.#exchange.resumeBody()
  }

  onHostFailed(): void {
    this.#exchange.cut()
  }
}

await canReadInto()
const connections = new Connections(systemClock, { set() {} })
const handle = (exchange: Exchange): void => void new Relay(exchange)
const owner = { ended() {} }
const page = { status: 400, fields: [], body: '' }
const context: ListenContext = { settings, clock: systemClock, wheel, connections, owner, handle, refuse: () => page }
const http2 = createHttp2Context(settings.config.http2, settings.config.limits, settings.config.timeouts, {
  wheel,
  clock: systemClock,
  connections,
  owner,
  handle,
  refuse: (exchange) => exchange.cut(),
  failed() {},
})
const certificate = {
  id: 'bench',
  certificatePem: readFileSync(setup.certificateFile, 'utf8'),
  keyPem: readFileSync(setup.keyFile, 'utf8'),
  notAfterMs: Date.now() + 86_000_000,
}
const keys = { current: systemRandom.bytes(48), previous: undefined }
await runUntilStopped(async () => {
  const listener = await createTlsListener(
    settings,
    {
      certificates: {
        find: () => certificate,
        obtain: async () => certificate,
        httpChallenge: () => undefined,
        alpnChallenge: () => undefined,
      },
      checkName: async () => {},
      clock: systemClock,
      metrics: gatewayMetrics(createMetrics()),
      wheel,
      random: systemRandom,
      log: silentLog,
      ticketKeys: { current: () => keys, onChange() {} },
    },
    (socket, info) => {
      const client = new SocketClient(info.raw)
      client.secured(info.serverName, false)
      if (info.protocol === 'h2') new Http2Connection(socket, client, http2)
      else serveHttp1(socket, client, context)
    },
  )
  const plain = createServer({ allowHalfOpen: true }, (socket) => serveHttp1(socket, new SocketClient(socket), context))
  plain.listen(setup.httpPort, '127.0.0.1')
  listener.server.listen(setup.httpsPort, '127.0.0.1')
  return { async [Symbol.asyncDispose]() {} }
})
