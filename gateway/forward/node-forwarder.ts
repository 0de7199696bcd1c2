import type { IncomingMessage } from 'node:http'
import type { Clock } from '../../core/clock.ts'
import type { AppError } from '../../core/errors.ts'
import type { GatewayConfig } from '../config.ts'
import { BadUpstreamAnswerError, HostUnreachableError } from '../errors.ts'
import { fieldValues } from '../guard/check-request.ts'
import type { Forwarder, ForwardJob, ForwardResult } from './forwarder.ts'
import { fullRetryAfterMs, holdAnswer } from './held-answer.ts'
import { type HostAnswer, HostConnections } from './host-attempt.ts'
import { relayBody, writeAnswerHead } from './relay-answer.ts'
import { checkUpgradeAnswer, relayUpgrade } from './relay-upgrade.ts'

const answerFieldsMax = 200

/**
 * The forwarder on `node:http`: both sides are parsed and framed by Node. Costs about six times the CPU of a lean data plane
 * (docs/decisions/data-plane.md), which will fill the same port.
 */
export function nodeForwarder(config: GatewayConfig, clock: Clock): Forwarder {
  const connections = new HostConnections(config, clock)
  return {
    async forward(job) {
      const got = await connections.attempt(job, [...job.fields, ...framing(job)])
      if ('kind' in got) return got
      return got.socket ? refuse(job, got, 'it switched protocols unasked') : relay(job, got, config)
    },

    async upgrade(job, socket, head) {
      const got = await connections.attempt(job, [...job.fields, 'Connection', 'Upgrade', 'Upgrade', 'websocket'])
      if ('kind' in got) return got
      if (!got.socket) return relay(job, got, config)
      const wrong = checkUpgradeAnswer(job, got.answer)
      if (wrong !== undefined) return refuse(job, got, wrong)
      const far = { socket: got.socket, head: got.head }
      const relayed = await relayUpgrade(job, got.answer, { socket, head }, far, config.timeouts.answerIdleMs)
      return { kind: 'answered', ...relayed, firstByteMs: got.firstByteMs }
    },

    probe: (origin, path, timeoutMs) => probe(connections, clock, origin, path, timeoutMs),
    [Symbol.dispose]: () => connections[Symbol.dispose](),
  }
}

async function relay(job: ForwardJob, got: HostAnswer, config: GatewayConfig): Promise<ForwardResult> {
  const bad = badHead(got.answer)
  if (bad !== undefined) return refuse(job, got, bad)
  const held = await holdAnswer(job, got, config.limits.holdBytesMax)
  if (held?.state === 'gone') return { kind: 'gone' }
  if (held?.state === 'broken') {
    const error = new HostUnreachableError(job.origin, 'broke its answer off')
    return { kind: 'failed', error, refused: false, stale: false, bodyStarted: got.bodyStarted }
  }
  const retryAfterMs = held && fullRetryAfterMs(got.answer, held.body)
  if (retryAfterMs !== undefined) return { kind: 'full', retryAfterMs, bodyStarted: got.bodyStarted }
  try {
    writeAnswerHead(job, got.answer)
  } catch (cause) {
    return refuse(job, got, 'a header field that may not be passed on', cause)
  }
  return {
    kind: 'answered',
    ...(await relayBody(job, got.request, got.answer, held?.body)),
    firstByteMs: got.firstByteMs,
  }
}

function refuse(job: ForwardJob, got: HostAnswer, what: string, cause?: unknown): ForwardResult {
  got.socket?.destroy()
  got.request.destroy()
  const error: AppError = new BadUpstreamAnswerError(job.origin, what, { cause })
  return { kind: 'failed', error, refused: false, stale: false, bodyStarted: got.bodyStarted }
}

/** The fields that frame the request body. */
function framing(job: ForwardJob): string[] {
  const connection = ['Connection', 'keep-alive']
  switch (job.body.kind) {
    case 'none':
      return ['POST', 'PUT', 'PATCH'].includes(job.method) ? [...connection, 'Content-Length', '0'] : connection
    case 'bytes':
      return [...connection, 'Content-Length', String(job.body.bytes.length)]
    case 'stream':
      if (job.body.bytes === undefined) return [...connection, 'Transfer-Encoding', 'chunked']
      return [...connection, 'Content-Length', String(job.body.bytes)]
  }
}

/** What is wrong with the head of an answer beyond what Node's parser refuses, or undefined. */
function badHead(answer: IncomingMessage): string | undefined {
  const status = answer.statusCode ?? 0
  if (status < 200 || status > 599) return `status ${status}`
  if (answer.rawHeaders.length / 2 > answerFieldsMax) return `more than ${answerFieldsMax} header fields`
  const lengths = fieldValues(answer.rawHeaders, 'content-length')
  const codings = fieldValues(answer.rawHeaders, 'transfer-encoding')
  if (lengths.length + codings.length > 1) return 'its length is given twice'
  if (codings.some((coding) => coding.trim().toLowerCase() !== 'chunked')) return 'an unknown transfer coding'
  return undefined
}

function probe(
  connections: HostConnections,
  clock: Clock,
  origin: string,
  path: string,
  timeoutMs: number,
): Promise<boolean> {
  return new Promise((resolve) => {
    const request = connections.open({ origin, method: 'GET', path }, [
      'Host',
      new URL(origin).host,
      'Connection',
      'close',
    ])
    const finish = (serves: boolean): void => {
      timer[Symbol.dispose]()
      request.destroy()
      resolve(serves)
    }
    const timer = clock.schedule(timeoutMs, () => finish(false))
    request.on('response', ({ statusCode = 0 }) => finish(statusCode >= 200 && statusCode < 300))
    request.on('error', () => finish(false))
    request.end()
  })
}
