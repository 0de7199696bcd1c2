import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { AppError } from '../../core/errors.ts'
import type { Balancer, Lease } from '../balance/balancer.ts'
import type { Verdict } from '../balance/host-health.ts'
import type { GatewayConfig } from '../config.ts'
import { HostsFullError, NoHostError } from '../errors.ts'
import type { ClientSide, Forwarder, ForwardJob, ForwardResult, RequestBody } from '../forward/forwarder.ts'
import { isIdempotent, mayTryAnother } from '../forward/retry-rule.ts'
import type { RequestHead } from '../guard/check-request.ts'
import { answerFields, requestFields } from '../guard/header-policy.ts'
import type { GatewayMetrics } from '../metrics.ts'

export interface ProgramRequest {
  itemHash: string
  head: RequestHead
  client: ClientSide
  /** Set for a WebSocket: the client's socket, and what it sent past its request. */
  upgrade?: { socket: Socket; head: Buffer }
}

export interface ProgramPorts {
  config: GatewayConfig
  balancer: Balancer
  forwarder: Forwarder
  metrics: GatewayMetrics
}

const retryAfterDefaultMs = 2_000

/**
 * Answers a request from a program: the best host first, then others while the request may be repeated and the retry budget lasts.
 * Resolves when the answer has ended, whole or cut.
 * @throws AppError when no host gave an answer; nothing has been sent to the client then
 */
export async function serveProgram(program: ProgramRequest, ports: ProgramPorts): Promise<void> {
  const { config, balancer, metrics } = ports
  const candidates = await balancer.hosts(program.itemHash)
  const job = { ...(await jobOf(program, config)), origin: '' }
  const tried = new Set<string>()
  let failure: AppError | undefined
  let fullMs: number | undefined
  balancer.budget.countRequest()
  for (let attempt = 1; attempt <= config.balance.attemptsMax; attempt++) {
    const lease = balancer.take(program.itemHash, candidates, tried)
    if (!lease) break
    const result = await forwardTo(lease, job, program, ports)
    if (result.kind === 'answered' || result.kind === 'gone') return
    // A connection that had died while it was idle says nothing of the host, so the same one may be asked again, once.
    if (result.kind !== 'failed' || !result.stale) tried.add(lease.id)
    if (result.kind === 'failed') failure = result.error
    else fullMs = Math.min(fullMs ?? result.retryAfterMs, result.retryAfterMs)
    if (!mayTryAnother(job.method, result) || !balancer.budget.takeRetry()) break
    metrics.retries.add({ reason: result.kind === 'full' ? 'full' : result.refused ? 'connect' : 'answer' })
  }
  if (failure) throw failure
  if (candidates.length === 0) throw new NoHostError(program.itemHash, 0)
  throw new HostsFullError(program.itemHash, candidates.length, fullMs ?? retryAfterDefaultMs)
}

async function forwardTo(
  lease: Lease,
  job: ForwardJob,
  program: ProgramRequest,
  ports: ProgramPorts,
): Promise<ForwardResult> {
  const { forwarder, metrics } = ports
  const target = { ...job, origin: lease.origin }
  const { upgrade } = program
  const attempt = upgrade ? forwarder.upgrade(target, upgrade.socket, upgrade.head) : forwarder.forward(target)
  const result = await attempt.catch((error: unknown) => {
    lease.end('unknown')
    throw error
  })
  metrics.attempts.add({ outcome: result.kind === 'answered' && !result.complete ? 'cut' : result.kind })
  if (result.kind === 'full') lease.endFull(result.retryAfterMs)
  else lease.end(verdictOn(result), result.kind === 'answered' ? result.firstByteMs : undefined)
  return result
}

function verdictOn(result: Exclude<ForwardResult, { kind: 'full' }>): Verdict {
  if (result.kind === 'gone') return 'unknown'
  if (result.kind === 'answered') return result.brokenBy === 'host' ? 'failed' : 'answered'
  if (result.stale) return 'unknown'
  return result.refused ? 'refused' : 'failed'
}

async function jobOf(program: ProgramRequest, config: GatewayConfig): Promise<Omit<ForwardJob, 'origin'>> {
  const { head, client, itemHash } = program
  const sharedZone = head.host.endsWith(`.${config.zone}`) ? config.zone : undefined
  return {
    client,
    method: head.method,
    path: `/vm/${itemHash}${head.path === '*' ? '/' : head.path}`,
    fields: requestFields(client.request.rawHeaders, { host: head.host, loopId: config.zone }),
    body: await bodyOf(head, client.request, config.limits.replayBytesMax),
    answerFields: (fields) => answerFields(fields, sharedZone),
  }
}

/** Small bodies of requests that may be repeated are kept, so that the loss of a host does not lose them. */
async function bodyOf(head: RequestHead, request: IncomingMessage, replayBytesMax: number): Promise<RequestBody> {
  if (head.body.kind === 'none') return { kind: 'none' }
  if (head.body.kind === 'chunked') return { kind: 'stream', bytes: undefined }
  const { bytes } = head.body
  if (!isIdempotent(head.method) || bytes > replayBytesMax) return { kind: 'stream', bytes }
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  return { kind: 'bytes', bytes: Buffer.concat(parts) }
}
