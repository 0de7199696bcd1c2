import assert from 'node:assert/strict'
import { createHmac, createPublicKey, randomBytes, verify } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Clock } from '../../core/clock.ts'
import { createLocalIssuer, createSelfSigned, type LocalIssuer } from '../x509.ts'

/** A problem document that the fake CA answers with. */
export interface FakeProblem {
  type: string
  detail?: string
  status?: number
  retryAfter?: string
  subproblems?: unknown[]
}

/** What a test may change at any time. */
export interface FakeBehaviour {
  /** Drops every connection. */
  down: boolean
  /** Refuses a request by its path prefix: `/new-order`. */
  refuse: (path: string, payload: Record<string, unknown>) => FakeProblem | undefined
  /** Why the validation of a name fails; undefined lets it succeed. */
  invalidates: (name: string) => FakeProblem | undefined
  /** Looks at an authorization, or at a finalized order, that still find it pending. */
  looksPending: number
  retryAfter: string | undefined
  challengeTypes: string[]
  lifeMs: number
  /** Offers renewal information when set. */
  window: (() => { startMs: number; endMs: number }) | undefined
  profiles: Record<string, string> | undefined
  externalAccount: { keyId: string; macKeyBase64Url: string } | undefined
  /** Share of correct nonces refused, 0 to 1. */
  nonceRejects: number
  /** Runs before a path is answered; may wait. */
  before: (path: string) => Promise<void> | void
}

/** An ACME CA in process that issues at a fake clock's time and shows what it was asked. Checks signatures, nonces and addresses. */
export interface FakeCa extends AsyncDisposable {
  directoryUrl: string
  caFile: string
  rootPem: string
  behaviour: FakeBehaviour
  /** Requests that arrived, by first path segment. */
  count(path: string): number
  /** Payloads of the orders that were accepted. */
  orders: Record<string, unknown>[]
  /** Authorizations given up by the client. */
  deactivated: string[]
  /** Forgets all accounts, as a test CA does that was restarted. */
  forgetAccounts(): void
}

interface FakeOrder {
  names: string[]
  status: string
  looks: number
  chain?: string
  authorizations: { name: string; status: string; looks: number; token: string; problem?: FakeProblem | undefined }[]
}

/** Starts it on a free port. `folder` takes the PEM of its own TLS certificate. */
export async function startFakeCa(clock: Clock, folder: string): Promise<FakeCa> {
  identity ??= makeIdentity()
  const { tls, issuer } = await identity
  const caFile = `${folder}/fake-ca-${randomBytes(4).toString('hex')}.pem`
  await writeFile(caFile, tls.certificatePem)
  const state = new FakeState(clock, issuer)
  const server = createServer({ key: tls.keyPem, cert: tls.certificatePem }, (request, response) => {
    if (state.behaviour.down) return void request.socket.destroy()
    state
      .serve(request, response)
      .catch((error: unknown) => state.answer(response, 500, { type: 'serverInternal', detail: String(error) }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  state.base = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    directoryUrl: `${state.base}/dir`,
    caFile,
    rootPem: issuer.rootPem,
    behaviour: state.behaviour,
    orders: state.accepted,
    deactivated: state.deactivated,
    count: (path) => state.counts.get(path) ?? 0,
    forgetAccounts: () => state.accounts.clear(),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Keys and root are made once per process: tests start many of these. */
let identity: ReturnType<typeof makeIdentity> | undefined

async function makeIdentity() {
  const tls = await createSelfSigned(['localhost', '127.0.0.1'])
  return { tls, issuer: await createLocalIssuer({ notBeforeMs: 0, notAfterMs: Date.UTC(2099, 0, 1) }) }
}

class FakeState {
  base = ''
  accounts = new Map<string, Record<string, string>>()
  counts = new Map<string, number>()
  accepted: Record<string, unknown>[] = []
  deactivated: string[] = []
  behaviour: FakeBehaviour = {
    down: false,
    refuse: () => undefined,
    invalidates: () => undefined,
    looksPending: 0,
    retryAfter: undefined,
    challengeTypes: ['http-01', 'dns-01', 'tls-alpn-01'],
    lifeMs: 90 * 86_400_000,
    window: undefined,
    profiles: undefined,
    externalAccount: undefined,
    nonceRejects: 0,
    before: () => {},
  }
  #clock: Clock
  #issuer: LocalIssuer
  #nonces = new Set<string>()
  #bodies = new Set<string>()
  #orders: FakeOrder[] = []

  constructor(clock: Clock, issuer: LocalIssuer) {
    this.#clock = clock
    this.#issuer = issuer
  }

  answer(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
    const nonce = randomBytes(12).toString('base64url')
    this.#nonces.add(nonce)
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    response.writeHead(status, { 'replay-nonce': nonce, ...headers }).end(text)
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url as string).replace(/(\/[^/]+).*/, '$1')
    this.counts.set(path, (this.counts.get(path) ?? 0) + 1)
    await this.behaviour.before(path)
    if (path === '/dir') return this.answer(response, 200, this.#directory())
    if (path === '/new-nonce') return this.answer(response, 200, '')
    if (path === '/ari') return this.#window(response)
    let body = ''
    for await (const chunk of request) body += chunk
    assert.ok(!this.#bodies.has(body), 'a signed body came twice')
    this.#bodies.add(body)
    this.#signed(request.url as string, path, body, response)
  }

  #directory(): unknown {
    const { window, profiles, externalAccount } = this.behaviour
    const at = (path: string) => this.base + path
    const meta = {
      termsOfService: at('/terms'),
      ...(profiles && { profiles }),
      externalAccountRequired: externalAccount !== undefined,
    }
    const urls = {
      newNonce: at('/new-nonce'),
      newAccount: at('/new-account'),
      newOrder: at('/new-order'),
      revokeCert: at('/revoke'),
    }
    return { ...urls, ...(window && { renewalInfo: at('/ari') }), meta }
  }

  #window(response: ServerResponse): void {
    const { startMs, endMs } = this.behaviour.window!()
    const suggestedWindow = { start: new Date(startMs).toISOString(), end: new Date(endMs).toISOString() }
    this.answer(response, 200, { suggestedWindow }, { 'retry-after': '21600' })
  }

  #signed(url: string, path: string, body: string, response: ServerResponse): unknown {
    const { payload, header, jwk } = this.#open(body)
    const fail = (problem: FakeProblem) => {
      const retry: Record<string, string> =
        problem.retryAfter === undefined ? {} : { 'retry-after': problem.retryAfter }
      this.answer(
        response,
        problem.status ?? 400,
        { ...problem, type: `urn:ietf:params:acme:error:${problem.type}` },
        retry,
      )
    }
    if (header.url !== this.base + url) return fail({ type: 'unauthorized', detail: 'wrong url' })
    if (!this.#nonces.delete(header.nonce as string) || Math.random() < this.behaviour.nonceRejects)
      return fail({ type: 'badNonce' })
    if (jwk === undefined) return fail({ type: 'accountDoesNotExist' })
    const refusal = this.behaviour.refuse(path, payload)
    if (refusal !== undefined) return fail(refusal)
    const [, , a, b] = url.split('/')
    if (path === '/new-account') return this.#newAccount(payload, jwk, response)
    if (path === '/new-order') return this.#newOrder(payload, response)
    const order = this.#orders[Number(a)]
    if (order === undefined) return fail({ type: 'malformed', detail: 'no such order', status: 404 })
    if (path === '/order') return this.#showOrder(order, Number(a), response)
    if (path === '/authz') return this.#showAuthorization(order, a as string, Number(b), payload, response)
    if (path === '/chall') return this.#validate(order, Number(b), response)
    if (path === '/finalize' && order.status !== 'ready') return fail({ type: 'orderNotReady', status: 403 })
    if (path === '/finalize') return void this.#finalize(order, Number(a), payload, response)
    this.answer(response, 200, order.chain as string)
  }

  #open(body: string): {
    payload: Record<string, unknown>
    header: Record<string, unknown>
    jwk: Record<string, string> | undefined
  } {
    const jws = JSON.parse(body) as { protected: string; payload: string; signature: string }
    const decode = (part: string) => (part === '' ? {} : JSON.parse(Buffer.from(part, 'base64url').toString()))
    const header = decode(jws.protected) as Record<string, unknown>
    const jwk = (header.jwk as Record<string, string> | undefined) ?? this.accounts.get(header.kid as string)
    if (jwk !== undefined) {
      const key = createPublicKey({ key: jwk, format: 'jwk' })
      const signed = Buffer.from(`${jws.protected}.${jws.payload}`)
      const right = verify(
        'sha256',
        signed,
        { key, dsaEncoding: 'ieee-p1363' },
        Buffer.from(jws.signature, 'base64url'),
      )
      assert.ok(right, 'the signature is right')
    }
    return { payload: decode(jws.payload), header, jwk }
  }

  #newAccount(payload: Record<string, unknown>, jwk: Record<string, string>, response: ServerResponse): void {
    const { externalAccount } = this.behaviour
    if (externalAccount !== undefined) {
      const binding = payload.externalAccountBinding as { protected: string; payload: string; signature: string }
      const mac = createHmac('sha256', Buffer.from(externalAccount.macKeyBase64Url, 'base64url'))
      assert.equal(mac.update(`${binding.protected}.${binding.payload}`).digest('base64url'), binding.signature)
      assert.equal(JSON.parse(Buffer.from(binding.protected, 'base64url').toString()).kid, externalAccount.keyId)
      assert.deepEqual(JSON.parse(Buffer.from(binding.payload, 'base64url').toString()), jwk)
    }
    const known = [...this.accounts].find(([, key]) => key.x === jwk.x)?.[0]
    const kid = known ?? `${this.base}/account/${this.accounts.size + 1}`
    this.accounts.set(kid, jwk)
    this.answer(response, known ? 200 : 201, { status: 'valid' }, { location: kid })
  }

  #newOrder(payload: Record<string, unknown>, response: ServerResponse): void {
    const names = (payload.identifiers as { value: string }[]).map((identifier) => identifier.value)
    const authorizations = names.map((name) => ({
      name,
      status: 'pending',
      looks: 0,
      token: randomBytes(12).toString('base64url'),
    }))
    this.accepted.push(payload)
    this.#orders.push({ names, status: 'pending', looks: 0, authorizations })
    const index = this.#orders.length - 1
    this.answer(response, 201, this.#orderBody(this.#orders[index]!, index), {
      location: `${this.base}/order/${index}`,
    })
  }

  #orderBody(order: FakeOrder, index: number): unknown {
    return {
      status: order.status,
      identifiers: order.names.map((value) => ({ type: 'dns', value })),
      authorizations: order.names.map((_, each) => `${this.base}/authz/${index}/${each}`),
      finalize: `${this.base}/finalize/${index}`,
      ...(order.status === 'valid' && { certificate: `${this.base}/cert/${index}` }),
    }
  }

  #showOrder(order: FakeOrder, index: number, response: ServerResponse): void {
    if (order.status === 'pending' && order.authorizations.every((each) => each.status === 'valid'))
      order.status = 'ready'
    if (order.authorizations.some((each) => each.status === 'invalid')) order.status = 'invalid'
    if (order.status === 'processing' && order.looks++ >= this.behaviour.looksPending) order.status = 'valid'
    this.answer(response, 200, this.#orderBody(order, index), this.#wait())
  }

  #showAuthorization(
    order: FakeOrder,
    index: string,
    at: number,
    payload: Record<string, unknown>,
    response: ServerResponse,
  ): void {
    const each = order.authorizations[at]!
    if (payload.status === 'deactivated') {
      each.status = 'deactivated'
      this.deactivated.push(each.name)
    }
    if (each.status === 'validating' && each.looks++ >= this.behaviour.looksPending) {
      each.problem = this.behaviour.invalidates(each.name)
      each.status = each.problem ? 'invalid' : 'valid'
    }
    const challenges = this.behaviour.challengeTypes.map((type) => ({
      type,
      url: `${this.base}/chall/${index}/${at}`,
      status:
        each.status === 'validating'
          ? 'processing'
          : each.status === 'invalid' || each.status === 'valid'
            ? each.status
            : 'pending',
      token: each.token,
      ...(each.problem && { error: { ...each.problem, type: `urn:ietf:params:acme:error:${each.problem.type}` } }),
    }))
    const status = each.status === 'validating' ? 'pending' : each.status
    const wildcard = each.name.startsWith('*.')
    const identifier = { type: 'dns', value: each.name.replace(/^\*\./, '') }
    this.answer(response, 200, { status, identifier, challenges, ...(wildcard && { wildcard }) }, this.#wait())
  }

  #validate(order: FakeOrder, at: number, response: ServerResponse): void {
    const each = order.authorizations[at]!
    assert.equal(each.status, 'pending', 'a challenge is answered once')
    each.status = 'validating'
    this.answer(response, 200, {})
  }

  async #finalize(
    order: FakeOrder,
    index: number,
    payload: Record<string, unknown>,
    response: ServerResponse,
  ): Promise<void> {
    const nowMs = this.#clock.nowMs()
    const validity = { notBeforeMs: nowMs, notAfterMs: nowMs + this.behaviour.lifeMs }
    order.chain = await this.#issuer.issue(Buffer.from(payload.csr as string, 'base64url'), order.names, validity)
    order.status = 'processing'
    this.answer(response, 200, this.#orderBody(order, index))
  }

  #wait(): Record<string, string> {
    return this.behaviour.retryAfter === undefined ? {} : { 'retry-after': this.behaviour.retryAfter }
  }
}
