import type { Clock } from '../../core/clock.ts'
import type { AcmeClient } from '../client/client.ts'
import { pollUntil } from '../client/poll.ts'
import { AcmeProblemError, parseProblem, problemError } from '../client/problem.ts'
import type { Authorization, Challenge, Order } from '../client/resources.ts'
import { CertificateUnusableError, NoChallengeError } from '../errors.ts'
import type { ChallengeResponder } from '../ports.ts'
import { createCsr, readLeaf } from '../x509.ts'
import { isCovered } from './names.ts'

export interface OrderWork {
  client: AcmeClient
  responders: readonly ChallengeResponder[]
  clock: Clock
  pollMs: number
  /** When to give up, by the clock's `monotonicMs`. */
  deadlineMs: number
  signal: AbortSignal
  /** Failures so far for these names: each attempt tries the next challenge type that fits. */
  failures: number
}

/**
 * Takes an order from wherever it stands to its certificate: answers challenges, finalizes when it is ready, downloads. May be
 * called again with the same order after a crash.
 * @returns the chain, PEM, checked against the key and the names
 * @throws AcmeProblemError when the CA refuses; its subproblems name the identifiers
 */
export async function runOrder(order: Order, keyPem: string, work: OrderWork): Promise<string> {
  const { client, signal } = work
  if (order.status === 'pending') await authorizeAll(order.authorizations, work)
  const ready = await pollOrder(order.url, (status) => status !== 'pending', work)
  if (ready.status === 'ready') await finalize(ready, keyPem, work)
  const valid = await pollOrder(order.url, (status) => status === 'valid' || status === 'invalid', work)
  const chain = await client.certificate(valid, signal)
  verifyChain(chain, keyPem, namesOf(valid), work.clock.nowMs())
  return chain
}

/** Gives up what an order that failed still has pending: pending authorizations count against the account. Best effort. */
export async function abandonOrder(order: Order, client: AcmeClient, signal: AbortSignal): Promise<void> {
  for (const url of order.authorizations) {
    const { value } = await client.authorization(url, signal)
    if (value.status === 'pending') await client.deactivate(url, signal)
  }
}

/** All at once, since each waits for the CA; the first that fails stops the others, and all have tidied up at the end. */
async function authorizeAll(urls: readonly string[], work: OrderWork): Promise<void> {
  const failed = new AbortController()
  const signal = AbortSignal.any([work.signal, failed.signal])
  await Promise.all(urls.map((url) => authorize(url, { ...work, signal }).catch((error) => failed.abort(error))))
  failed.signal.throwIfAborted()
}

async function authorize(url: string, work: OrderWork): Promise<void> {
  const { client, signal } = work
  const { value: authorization } = await client.authorization(url, signal)
  if (authorization.status === 'valid') return
  if (authorization.status !== 'pending') throw refusalOf(authorization)
  const { challenge, responder } = chooseChallenge(authorization, work)
  const name = authorization.identifier.value
  const answer = [name, challenge.token as string, client.keyAuthorization(challenge.token as string)] as const
  await responder.present(...answer)
  try {
    // After a crash the CA may be validating already; telling it twice is an error for some.
    if (challenge.status === 'pending') await client.respond(challenge.url, signal)
    const look = () => client.authorization(url, signal)
    const settled = await pollUntil(look, (value) => value.status !== 'pending', {
      ...pollOf(work),
      what: 'authorization',
    })
    if (settled.status !== 'valid') throw refusalOf(settled)
  } finally {
    await responder.clean(...answer).catch(() => {})
  }
}

function chooseChallenge(
  authorization: Authorization,
  work: OrderWork,
): { challenge: Challenge; responder: ChallengeResponder } {
  const { value } = authorization.identifier
  const fitting = work.responders.flatMap((responder) => {
    if (responder.covers?.(value) === false) return []
    const challenge = authorization.challenges.find(
      (offer) => offer.type === responder.type && offer.token !== undefined,
    )
    return challenge === undefined ? [] : [{ challenge, responder }]
  })
  // One that the CA is validating already, from before a crash, cannot be changed any more.
  const chosen =
    fitting.find(({ challenge }) => challenge.status === 'processing') ??
    fitting[work.failures % Math.max(1, fitting.length)]
  if (chosen !== undefined) return chosen
  const name = authorization.wildcard ? `*.${value}` : value
  const offered = authorization.challenges.map((challenge) => challenge.type)
  throw new NoChallengeError(
    name,
    offered,
    work.responders.map((responder) => responder.type),
  )
}

async function finalize(order: Order, keyPem: string, { client, signal }: OrderWork): Promise<void> {
  const csr = await createCsr(namesOf(order), keyPem)
  await client.finalize(order, csr, signal).catch((error: unknown) => {
    // Finalized by an earlier life of ours, or not yet ready on another machine of the CA: the order itself says which.
    if (!(error instanceof AcmeProblemError) || error.problem.type !== 'orderNotReady') throw error
  })
}

/** Looks at the order until `done`, and throws what the CA says when it became invalid. */
async function pollOrder(url: string, done: (status: Order['status']) => boolean, work: OrderWork): Promise<Order> {
  const look = () => work.client.order(url, work.signal)
  const order = await pollUntil(look, (value) => done(value.status), { ...pollOf(work), what: 'order' })
  if (order.status !== 'invalid') return order
  throw problemError({ problem: parseProblem(order.error, 403) })
}

function pollOf(work: OrderWork): { clock: Clock; delayMs: number; deadlineMs: number; signal: AbortSignal } {
  return { clock: work.clock, delayMs: work.pollMs, deadlineMs: work.deadlineMs, signal: work.signal }
}

/** The reason of a failed authorization stands in its failed challenge; the identifier is added to it. */
function refusalOf(authorization: Authorization): Error {
  const failed = authorization.challenges.find((challenge) => challenge.error !== undefined && challenge.error !== null)
  const found = parseProblem(failed?.error ?? { type: `authorization ${authorization.status}` }, 403)
  const identifier = authorization.identifier.value
  return problemError({ problem: { ...found, subproblems: [{ type: found.type, detail: found.detail, identifier }] } })
}

function namesOf(order: Order): string[] {
  return order.identifiers.map((identifier) => identifier.value.toLowerCase())
}

function verifyChain(chain: string, keyPem: string, names: readonly string[], nowMs: number): void {
  const why = chainFault(chain, keyPem, names, nowMs)
  if (why !== undefined) throw new CertificateUnusableError(names, why)
}

function chainFault(chain: string, keyPem: string, names: readonly string[], nowMs: number): string | undefined {
  try {
    const leaf = readLeaf(chain)
    if (!leaf.matchesKey(keyPem)) return 'it is for another key'
    const missing = names.find((name) => !leaf.names.some((have) => isCovered(name, have)))
    if (missing !== undefined) return `it lacks the name ${missing}`
    return leaf.notAfterMs <= nowMs ? 'it has expired' : undefined
  } catch (error) {
    return `it cannot be read (${(error as Error).message})`
  }
}
