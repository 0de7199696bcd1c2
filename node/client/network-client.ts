import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { Random } from '../../core/random.ts'
import { z } from '../../core/schema.ts'
import { SingleFlight } from '../../core/single-flight.ts'
import { HashMismatchError } from '../protocol/errors.ts'
import { hashKind } from '../protocol/item-hash.ts'
import { isSameAddress } from '../protocol/permissions.ts'
import { findRuntime } from '../protocol/runtimes.ts'
import type { HostLookup } from './address-policy.ts'
import { addressSpellings } from './address-spellings.ts'
import { createCcnPool } from './ccn-pool.ts'
import { clientConfigSchema } from './config.ts'
import { AnswerForgedError, ForgottenItemError, UnknownItemError, WrongTypeError } from './errors.ts'
import { createFileReader, type FileReader } from './file-reader.ts'
import { type HostCandidate, HostList } from './hosts.ts'
import { type KeptMessage, KeptMessages } from './kept-messages.ts'
import { listMessages } from './message-list.ts'
import { createPublisher, type Publisher } from './publish.ts'
import { parseJsonAnswer } from './read-answer.ts'
import { SecurityRights } from './security-rights.ts'
import { type MissedQuery, Subscription } from './subscription.ts'
import { untilAborted } from './until-aborted.ts'
import { aggregateKey, isLater, type VerifiedMessage, verifyMessage } from './verified-message.ts'

/** Settings as in `clientConfigSchema`, defaults applied to what is left out. */
export interface NetworkClientOptions extends Partial<z.input<typeof clientConfigSchema>> {
  ccnUrls: string[]
  clock: Clock
  random: Random
  log: Log
  /** How host names are looked up for vetting; the system's way by default. */
  lookup?: HostLookup
}

/** An entry of an owner's `domains` aggregate. */
export interface DomainEntry {
  kind: 'program' | 'instance' | 'ipfs'
  itemHash: string
}

/** Asks the network, and believes only what it can check. Disposing stops polling and subscriptions. */
export interface NetworkClient extends Publisher, FileReader, AsyncDisposable {
  /** A processed message, hash, signature and permission checked here; undefined when unknown, pending, refused or forgotten. */
  message(itemHash: string, signal: AbortSignal): Promise<VerifiedMessage | undefined>
  /** @throws UnknownItemError (404), ForgottenItemError (410), WrongTypeError (422) */
  program(itemHash: string, signal: AbortSignal): Promise<{ content: Record<string, unknown>; owner: string }>
  /** The file behind a STORE's item hash or tag; with `useLatest` that of its newest update by the same owner. */
  fileHash(ref: string, owner: string, useLatest: boolean, signal: AbortSignal): Promise<string>
  /** The merged aggregate as a node gives it: NOT verified. undefined when there is none. */
  aggregate(owner: string, key: string, signal: AbortSignal): Promise<Record<string, unknown> | undefined>
  /** One top-level member of an aggregate, from the newest signed element that holds it. */
  aggregateMember(owner: string, key: string, member: string, signal: AbortSignal): Promise<unknown>
  domainEntry(owner: string, host: string, signal: AbortSignal): Promise<DomainEntry | undefined>
  /** Hosts that may run a program. @throws as `program` */
  hosts(itemHash: string, signal: AbortSignal): Promise<readonly HostCandidate[]>
  onMessage(listener: (message: VerifiedMessage) => void): Disposable
  /** Calls back with the ref of each STORE that was processed: its own hash, and the one that it updates. */
  onFileChanged(listener: (ref: string) => void): Disposable
}

const statusSchema = z.looseObject({ status: z.string(), message: z.unknown().optional() })
const aggregatesSchema = z.looseObject({ data: z.record(z.string(), z.record(z.string(), z.unknown())) })
const domainSchema = z.looseObject({ type: z.enum(['program', 'instance', 'ipfs']), message_id: z.string() })
// Content is shown in up to two forms.
const messageBytesMax = 4_194_304
const aggregateBytesMax = 16_777_216
const contentBytesMax = 1_048_576

/** Makes a client of the network. Nothing is asked before it is used. */
export function createNetworkClient(options: NetworkClientOptions): NetworkClient {
  const { clock, random, log, lookup, ...given } = options
  const config = clientConfigSchema.parse(given)
  const pool = createCcnPool(config.ccnUrls, { clock, ...config })
  const files = createFileReader(pool)
  // Work that callers share ends by itself, after time for every node to stall twice: once for it, once for what it rests on.
  const sharedSignal = (): AbortSignal => AbortSignal.timeout(config.answerTimeoutMs * config.ccnUrls.length * 2)
  const kept = new KeptMessages({ clock, keepMs: config.messageKeepMs, unsettledKeepMs: config.unsettledKeepMs })
  const flights = new SingleFlight<string, KeptMessage>()

  /** Content that is not in the envelope. A node that gives other bytes is asked last from then on. */
  async function readContent(hash: string, signal: AbortSignal): Promise<Uint8Array> {
    for (let left = config.ccnUrls.length; ; left--) {
      try {
        return await collect(files.verifiedFile(hash, signal), contentBytesMax)
      } catch (error) {
        if (!(error instanceof HashMismatchError) || left <= 1) throw error
      }
    }
  }
  // Elements of `security` are read without rights: only those that the owner signed count.
  const verifyOwn = (json: unknown, signal: AbortSignal): Promise<VerifiedMessage> =>
    verifyMessage(
      json,
      (hash) => readContent(hash, signal),
      async () => undefined,
    )
  const rights = new SecurityRights({
    clock,
    keepMs: config.messageKeepMs,
    elements(owner) {
      const query = { msgTypes: 'AGGREGATE', owners: spelled(owner), contentKeys: 'security' }
      return listMessages({ pool, log, verify: verifyOwn }, query, sharedSignal())
    },
  })
  const verify = (json: unknown, signal: AbortSignal): Promise<VerifiedMessage> =>
    verifyMessage(
      json,
      (hash) => readContent(hash, signal),
      (owner) => rights.read(owner),
    )

  async function readStatusAt(
    itemHash: string,
    signal: AbortSignal,
    except = '',
  ): Promise<KeptMessage & { url: string }> {
    const path = `/api/v0/messages/${encodeURIComponent(itemHash)}`
    const options = { signal, except, bytesMax: messageBytesMax }
    return pool.ask(path, `the message ${itemHash}`, options, async (answer) => {
      const { status, message: json } = statusSchema.parse(parseJsonAnswer(answer))
      if (status !== 'processed' && status !== 'removing') return { status, url: answer.url }
      const message = await verify(json, signal)
      if (message.itemHash !== itemHash)
        throw new HashMismatchError(`The node gave ${message.itemHash} for ${itemHash}.`)
      return { status, message, url: answer.url }
    })
  }

  /** A status without the message proves nothing: it is believed when a second node, where there is one, has no message either. */
  async function readStatus(itemHash: string, signal: AbortSignal): Promise<KeptMessage> {
    const first = await readStatusAt(itemHash, signal)
    if (first.message || config.ccnUrls.length < 2) return first
    const second = await readStatusAt(itemHash, signal, first.url).catch(() => undefined)
    return second?.message ? second : first
  }

  async function readAndKeep(itemHash: string): Promise<KeptMessage> {
    const found = await readStatus(itemHash, sharedSignal()).catch((error: unknown) => {
      if (error instanceof UnknownItemError) return { status: 'unknown' }
      throw error
    })
    kept.set(itemHash, found)
    return found
  }

  /** The status of a message as nodes tell it, and the message itself as verified. @throws UnknownItemError */
  async function find(itemHash: string, signal: AbortSignal): Promise<KeptMessage> {
    signal.throwIfAborted()
    // Shared by all who ask meanwhile, so it does not end with the first of them.
    const flight = kept.get(itemHash) ?? flights.run(itemHash, () => readAndKeep(itemHash))
    const found = await untilAborted(Promise.resolve(flight), signal)
    if (found.status === 'unknown') throw new UnknownItemError(`No node of the network knows the message ${itemHash}.`)
    return found
  }

  const list = (query: Record<string, string>, signal: AbortSignal): AsyncIterable<VerifiedMessage[]> =>
    listMessages({ pool, log, verify }, query, signal)

  async function* missed(asked: MissedQuery, signal: AbortSignal): AsyncIterable<VerifiedMessage> {
    const { sinceSeconds, types, isHeard } = asked
    const query = { startDate: String(Math.max(1, Math.floor(sinceSeconds))), ...(types ? { msgTypes: types } : {}) }
    // Newest first: where there are more than a list may hold, the oldest are left out.
    for await (const messages of listMessages({ pool, log, verify }, query, signal, isHeard)) yield* messages
  }

  const hostList = new HostList({
    clock,
    allowPrivateHosts: config.allowPrivateHosts,
    keepMs: config.hostsKeepMs,
    pollMs: config.executionsPollMs,
    idleMs: config.pollIdleMs,
    timeoutMs: config.timeoutMs,
    readSignal: sharedSignal,
    lookup,
    readNodes: (signal) => client.aggregateMember(config.corechannelAddress, 'corechannel', 'resource_nodes', signal),
  })
  const subscription = new Subscription({
    clock,
    random,
    log,
    pingMs: config.pingMs,
    url: (attempt) => {
      const urls = pool.urls()
      return urls[attempt % urls.length] as string
    },
    verify,
    missed,
  })
  const listen = (listener: (message: VerifiedMessage) => void): Disposable =>
    subscription.add((message) => {
      kept.drop(message.itemHash)
      if (message.type === 'FORGET') for (const hash of refList(message.content.hashes)) kept.drop(hash)
      if (message.type === 'AGGREGATE') aggregateChanged(message)
      listener(message)
    })

  const aggregateChanged = ({ owner, content }: VerifiedMessage): void => {
    if (aggregateKey(content) === 'corechannel') hostList.forget()
    if (aggregateKey(content) === 'security') rights.drop(owner)
  }

  const client: NetworkClient = {
    ...createPublisher(pool, clock, (itemHash) => kept.drop(itemHash)),
    ...files,
    async message(itemHash, signal) {
      if (!hashKind(itemHash)) return undefined
      try {
        return (await find(itemHash, signal)).message
      } catch (error) {
        if (error instanceof UnknownItemError) return undefined
        throw error
      }
    },
    async program(itemHash, signal) {
      if (!hashKind(itemHash)) throw new UnknownItemError(`"${itemHash.slice(0, 80)}" is no message hash.`)
      const { status, message } = await find(itemHash, signal)
      if (status === 'forgotten' || status === 'removed')
        throw new ForgottenItemError(`The program ${itemHash} was ${status}.`)
      if (!message) throw new UnknownItemError(`The message ${itemHash} is ${status}.`)
      if (message.type === 'PROGRAM') return { content: message.content, owner: message.owner }
      throw new WrongTypeError(`The message ${itemHash} is a ${message.type}, not a PROGRAM.`, {
        hint: 'Point the name at the item hash of the PROGRAM message, not at that of its code.',
      })
    },
    async fileHash(ref, owner, useLatest, signal) {
      const original = hashKind(ref) ? await store(ref, signal) : undefined
      if (original && !useLatest) return String(original.content.item_hash)
      const [address, name] = tagOf(ref, original?.owner ?? owner)
      const query = { msgTypes: 'STORE', owners: spelled(address), refs: name }
      let latest = original
      for await (const page of list(query, signal)) {
        for (const update of page) if (isUpdate(update, address, name) && isLater(update, latest)) latest = update
      }
      if (latest) return String(latest.content.item_hash)
      throw new UnknownItemError(`No file is stored under ${ref}.`)
    },
    async aggregate(owner, key, signal) {
      const path = `/api/v0/aggregates/${encodeURIComponent(owner)}.json?keys=${encodeURIComponent(key)}`
      try {
        return await pool.ask(path, `the aggregate ${key}`, { signal, bytesMax: aggregateBytesMax }, async (answer) => {
          const { data } = aggregatesSchema.parse(parseJsonAnswer(answer))
          return data[key]
        })
      } catch (error) {
        if (error instanceof UnknownItemError) return undefined
        throw error
      }
    },
    async aggregateMember(owner, key, member, signal) {
      const query = { msgTypes: 'AGGREGATE', owners: spelled(owner), contentKeys: key }
      for await (const page of list(query, signal)) {
        const elements = page.filter(
          (element) =>
            element.type === 'AGGREGATE' &&
            isSameAddress(element.owner, owner) &&
            aggregateKey(element.content) === key,
        )
        const holding = elements.filter(({ content }) => Object.hasOwn(content.content as object, member))
        // Newest by signed time: the merge lets the last writer of a member win.
        const newest = holding.sort((a, b) => (isLater(a, b) ? -1 : 1))[0]
        if (newest) return (newest.content.content as Record<string, unknown>)[member]
      }
      return undefined
    },
    async domainEntry(owner, host, signal) {
      const entry = domainSchema.safeParse(await client.aggregateMember(owner, 'domains', host, signal))
      if (!entry.success || !hashKind(entry.data.message_id)) return undefined
      return { kind: entry.data.type, itemHash: entry.data.message_id }
    },
    async hosts(itemHash, signal) {
      await client.program(itemHash, signal)
      return hostList.candidates(itemHash, signal)
    },
    onMessage: listen,
    onFileChanged: (listener) =>
      listen(({ type, itemHash, content }) => {
        if (type !== 'STORE') return
        listener(itemHash)
        if (typeof content.ref === 'string') listener(content.ref)
      }),
    async [Symbol.asyncDispose]() {
      await Promise.all([hostList[Symbol.asyncDispose](), subscription[Symbol.asyncDispose]()])
    },
  }
  return client

  async function store(ref: string, signal: AbortSignal): Promise<VerifiedMessage> {
    const { status, message } = await find(ref, signal)
    if (status === 'forgotten') throw new ForgottenItemError(`The file of ${ref} was forgotten.`)
    if (message?.type === 'STORE') return message
    const runtime = findRuntime(ref)
    const hint = runtime
      ? `It names the built-in runtime ${runtime}, which hosts have without asking.`
      : 'Use the item hash of a STORE.'
    throw new WrongTypeError(`The message ${ref} is no STORE (${message?.type ?? status}).`, { hint })
  }
}

/** Splits `<address>/<name>`; a hash or a bare name belongs to `owner`. */
function tagOf(ref: string, owner: string): [string, string] {
  const at = ref.indexOf('/')
  return at < 0 ? [owner, ref] : [ref.slice(0, at), ref.slice(at + 1)]
}

function isUpdate({ type, owner, content }: VerifiedMessage, address: string, name: string): boolean {
  return type === 'STORE' && isSameAddress(owner, address) && content.ref === name
}

function spelled(address: string): string {
  return addressSpellings(address).join(',')
}

function refList(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}

async function collect(source: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let total = 0
  for await (const part of source) {
    total += part.length
    if (total > bytesMax) throw new AnswerForgedError(`A message content has more than ${bytesMax} bytes.`)
    parts.push(part)
  }
  return Buffer.concat(parts)
}
