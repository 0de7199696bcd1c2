import { CaReplyError, ProfileUnknownError, TermsNotAgreedError } from '../errors.ts'
import { type AccountKey, signAccountBinding } from './jws.ts'
import type { Polled } from './poll.ts'
import { AcmeProblemError } from './problem.ts'
import {
  type Authorization,
  authorizationShape,
  locationOf,
  type Order,
  orderShape,
  parseReply,
  renewalInfoShape,
} from './resources.ts'
import type { AcmeSession } from './session.ts'
import type { AcmeReply } from './transport.ts'

export interface AccountOptions {
  contactEmails: readonly string[]
  termsOfServiceAgreed: boolean
  externalAccount?: { keyId: string; macKeyBase64Url: string } | undefined
}

export interface RenewalWindow {
  startMs: number
  endMs: number
  /** When to ask again, from now; undefined when the CA did not say. */
  retryAfterMs: number | undefined
}

/**
 * The resources of RFC 8555 for one account, one method per request; who calls decides what comes next. All methods throw
 * AcmeProblemError (refused), CaUnreachableError (nothing came back) or CaReplyError (nonsense came back).
 */
export class AcmeClient {
  #session: AcmeSession
  #key: AccountKey
  #account: AccountOptions
  #kid: string | undefined
  #opening: Promise<string> | undefined

  constructor(session: AcmeSession, key: AccountKey, account: AccountOptions) {
    this.#session = session
    this.#key = key
    this.#account = account
  }

  /** The account's URL: found by its key, or made. @throws TermsNotAgreedError */
  async accountUrl(signal: AbortSignal): Promise<string> {
    if (this.#kid !== undefined) return this.#kid
    this.#opening ??= this.#openAccount(signal).finally(() => {
      this.#opening = undefined
    })
    this.#kid = await this.#opening
    return this.#kid
  }

  /** Asks for a certificate over `names`. @throws ProfileUnknownError when the CA does not list `profile` */
  async newOrder(
    names: readonly string[],
    options: { replaces?: string | undefined; profile?: string | undefined },
    signal: AbortSignal,
  ): Promise<Order> {
    const { newOrder, meta } = await this.#session.directory(signal)
    const listed = Object.keys(meta.profiles ?? {})
    if (options.profile !== undefined && !listed.includes(options.profile))
      throw new ProfileUnknownError(options.profile, listed)
    const payload = {
      identifiers: names.map((value) => ({ type: 'dns', value })),
      ...(options.replaces === undefined ? {} : { replaces: options.replaces }),
      ...(options.profile === undefined ? {} : { profile: options.profile }),
    }
    const reply = await this.#post(newOrder, payload, signal)
    return { ...parseReply(orderShape, reply, 'order'), url: locationOf(reply, 'order') }
  }

  async order(url: string, signal: AbortSignal): Promise<Polled<Order>> {
    const reply = await this.#post(url, undefined, signal)
    return {
      value: { ...parseReply(orderShape, reply, 'order'), url },
      retryAfterMs: this.#session.retryAfterMs(reply),
    }
  }

  async authorization(url: string, signal: AbortSignal): Promise<Polled<Authorization>> {
    const reply = await this.#post(url, undefined, signal)
    const value = { ...parseReply(authorizationShape, reply, 'authorization'), url }
    return { value, retryAfterMs: this.#session.retryAfterMs(reply) }
  }

  /** Tells the CA that the answer to a challenge can be seen now. */
  async respond(challengeUrl: string, signal: AbortSignal): Promise<void> {
    await this.#post(challengeUrl, {}, signal)
  }

  /** Gives up an authorization, so that it does not count as pending. */
  async deactivate(authorizationUrl: string, signal: AbortSignal): Promise<void> {
    await this.#post(authorizationUrl, { status: 'deactivated' }, signal)
  }

  async finalize(order: Order, csrDer: Uint8Array, signal: AbortSignal): Promise<void> {
    await this.#post(order.finalize, { csr: Buffer.from(csrDer).toString('base64url') }, signal)
  }

  /** The chain, PEM, leaf first. */
  async certificate(order: Order, signal: AbortSignal): Promise<string> {
    if (order.certificate === undefined)
      throw new CaReplyError('The certificate authority named no certificate in a valid order.')
    const reply = await this.#post(order.certificate, undefined, signal)
    return reply.body.toString()
  }

  /** When the CA wants the certificate renewed; undefined when it does not say. @see RFC 9773 §4.2 */
  async renewalWindow(renewalId: string, signal: AbortSignal): Promise<RenewalWindow | undefined> {
    const { renewalInfo } = await this.#session.directory(signal)
    if (renewalInfo === undefined) return undefined
    const reply = await this.#session.get(`${renewalInfo.replace(/\/$/, '')}/${renewalId}`, signal)
    const { start, end } = parseReply(renewalInfoShape, reply, 'renewal information').suggestedWindow
    if (end <= start)
      throw new CaReplyError('The certificate authority suggests a renewal window that ends before it starts.')
    return { startMs: start, endMs: end, retryAfterMs: this.#session.retryAfterMs(reply) }
  }

  /** What proves that we hold the account's key, for a challenge's token. @see RFC 8555 §8.1 */
  keyAuthorization(token: string): string {
    return `${token}.${this.#key.thumbprint}`
  }

  async #post(url: string, payload: unknown, signal: AbortSignal): Promise<AcmeReply> {
    const kid = await this.accountUrl(signal)
    try {
      return await this.#session.post({ url, payload, key: this.#key, kid, signal })
    } catch (error) {
      const forgotten = error instanceof AcmeProblemError && error.problem.type === 'accountDoesNotExist'
      if (!forgotten || this.#kid !== kid) throw error
      // A CA that lost its accounts (a test CA that was restarted) gets ours again, once.
      this.#kid = undefined
      return this.#session.post({ url, payload, key: this.#key, kid: await this.accountUrl(signal), signal })
    }
  }

  async #openAccount(signal: AbortSignal): Promise<string> {
    const { newAccount, meta } = await this.#session.directory(signal)
    const { contactEmails, termsOfServiceAgreed, externalAccount } = this.#account
    if (meta.termsOfService !== undefined && !termsOfServiceAgreed) throw new TermsNotAgreedError(meta.termsOfService)
    const binding = externalAccount && (await signAccountBinding(this.#key.publicJwk, externalAccount, newAccount))
    const payload = {
      termsOfServiceAgreed,
      ...(contactEmails.length === 0 ? {} : { contact: contactEmails.map((email) => `mailto:${email}`) }),
      ...(binding === undefined ? {} : { externalAccountBinding: binding }),
    }
    return locationOf(await this.#session.post({ url: newAccount, payload, key: this.#key, signal }), 'account')
  }
}
