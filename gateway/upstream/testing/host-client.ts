import { type Clock, systemClock } from '../../../core/clock.ts'
import { TimingWheel } from '../../../core/timing-wheel.ts'
import { gatewayConfigSchema } from '../../config.ts'
import { blockOf, type FieldBlock } from '../../http1/field-block.ts'
import { settingsOf } from '../../listen/listen-context.ts'
import { hostCertificate } from '../../testing/http2-host.ts'
import type { ConnectionNeeds } from '../host-pool.ts'
import { HostPools } from '../host-pools.ts'
import type { AnswerSink, HostAnswer, HostFailure, HostRequest, HostStream } from '../host-stream.ts'

/** Pools that trust the hosts of tests. `timeouts` and `limits` as in the configuration. */
export function testPools(
  config: { timeouts?: object; limits?: object } = {},
  clock: Clock = systemClock,
): HostPools & { errors: unknown[] } {
  const settings = settingsOf(gatewayConfigSchema.parse(config))
  const errors: unknown[] = []
  const wheel = new TimingWheel(clock, 25)
  const pools = new HostPools(settings, wheel, {
    ca: hostCertificate().certificatePem,
    failed: (error) => errors.push(error),
  })
  return Object.assign(pools, { errors })
}

/** A request as the gateway would make it. */
export function hostRequest(path: string, options: Partial<HostRequest> = {}): HostRequest {
  return {
    method: 'GET',
    pathPrefix: Buffer.from(path),
    pathStart: 0,
    pathEnd: 0,
    host: 'app.test',
    fields: blockOf([]),
    extraLines: Buffer.from('X-Request-Id: 0123456789abcdef\r\n'),
    bodyBytes: 0,
    upgrade: undefined,
    ...options,
  }
}

/** Takes an answer, and notes all that came. `paused` makes it say stop to every part, until `go`. */
export class AnswerRecorder implements AnswerSink {
  stream: HostStream | undefined = undefined
  paused = false
  status = 0
  fields: string[] = []
  bodyBytes = Number.NaN
  parts: Buffer[] = []
  /** The answer came in one call. */
  whole = false
  trailers: string[] | undefined = undefined
  informational: [number, string[]][] = []
  failure: HostFailure | undefined = undefined
  switched = false
  drains = 0
  over = false
  readonly #waiting: (() => void)[] = []

  get body(): Buffer {
    return Buffer.concat(this.parts)
  }

  go(): void {
    this.paused = false
    this.stream?.resumeAnswer()
  }

  onInformational(status: number, fields: FieldBlock): void {
    this.informational.push([status, fields.pairs()])
  }

  onAnswer({ status, fields, bodyBytes }: HostAnswer, part: Buffer | undefined, last: boolean): boolean {
    this.status = status
    this.fields = fields.pairs()
    this.bodyBytes = bodyBytes
    this.whole = last
    if (part) this.parts.push(Buffer.from(part))
    if (last) this.#end()
    this.#wake()
    return !this.paused
  }

  onSwitched(): void {
    this.switched = true
    this.#wake()
  }

  onAnswerBody(part: Buffer): boolean {
    if (this.over) throw new Error('a part after the end')
    this.parts.push(Buffer.from(part))
    this.#wake()
    return !this.paused
  }

  onAnswerEnd(trailers: FieldBlock | undefined): void {
    this.trailers = trailers?.pairs()
    this.#end()
  }

  onHostDrain(): void {
    this.drains++
    this.#wake()
  }

  onHostFailed(failure: HostFailure): void {
    this.failure = failure
    this.#end()
  }

  /** Waits until `check` holds, looking whenever something came. */
  async until(check: () => boolean): Promise<void> {
    const endMs = performance.now() + 5_000
    while (!check()) {
      if (performance.now() > endMs) throw new Error(`still not so: ${check}; failure: ${JSON.stringify(this.failure)}`)
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve)
        setTimeout(resolve, 50)
      })
    }
  }

  async ended(): Promise<this> {
    await this.until(() => this.over)
    return this
  }

  #end(): void {
    if (this.over) throw new Error('ended twice')
    this.over = true
    this.#wake()
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

/** Sends a request, with a body where there is one, and notes what comes back. */
export function send(
  pools: HostPools,
  origin: string,
  request: HostRequest,
  options: { body?: Buffer; needs?: ConnectionNeeds; last?: boolean } = {},
): AnswerRecorder {
  const sink = new AnswerRecorder()
  const stream = pools.acquire(origin, sink, options.needs)
  if (!stream) throw new Error('no connection may be opened')
  sink.stream = stream
  stream.send(request, options.body, options.last ?? true)
  return sink
}
