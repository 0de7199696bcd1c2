import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { Random } from '../../core/random.ts'
import { InvalidShapeError } from '../../core/schema.ts'
import { parseContent } from '../protocol/content.ts'
import { InvalidFormatError, InvalidSignatureError, MessageError, messageErrorCodes } from '../protocol/errors.ts'
import { parseContentText, type SignedMessage } from '../protocol/message.ts'
import { verifySignature } from '../protocol/signature.ts'
import type { Incoming } from './apply/state.ts'
import { applyMessage } from './apply-message.ts'
import type { CcnLimits } from './config.ts'
import { contentFields } from './content-fields.ts'
import type { ContentSource } from './content-source.ts'
import {
  AlreadyForgottenError,
  ContentUnavailableError,
  OverloadedError,
  TooLargeError,
  WaitingError,
} from './errors.ts'
import { lookUp } from './look-up.ts'
import type { CcnMetrics } from './metrics.ts'
import type { Change, MessageStore, StagedFile, StoredMessage } from './ports.ts'
import { SerialQueue } from './serial-queue.ts'

/** What became of a message. `error` says why for rejected, pending and forgotten. */
export interface Outcome {
  status: 'processed' | 'pending' | 'rejected' | 'forgotten'
  /** True when this call made it effective: false for a repetition. */
  fresh: boolean
  stored?: StoredMessage
  error?: MessageError
}

export interface ProcessorPorts {
  store: MessageStore
  content: ContentSource
  clock: Clock
  random: Random
  log: Log
  metrics: CcnMetrics
  limits: CcnLimits
  /** Told once per message that became effective, after it is durable. */
  onProcessed(stored: StoredMessage): void
  /** Told whenever a pending message is kept, with when it is due. */
  onPending(stored: StoredMessage): void
  /** How many messages are pending now. */
  pendingCount(): number
}

// Content is fetched while a client may be waiting; peers that need longer get their next chance with the retry.
const fetchTimeoutMs = 20_000

/** Takes messages from envelope to durable outcome: verify, fetch, check, apply. Never throws for what a message holds. */
export class MessageProcessor {
  readonly #ports: ProcessorPorts
  /** State is read and written by one message at a time: two updates of one aggregate must not both start from the old state. */
  readonly #serial = new SerialQueue()
  #running = 0

  constructor(ports: ProcessorPorts) {
    this.#ports = ports
  }

  /** Runs a task while no message is being applied. */
  exclusive<T>(task: () => Promise<T>): Promise<T> {
    return this.#serial.run(task)
  }

  /**
   * @param staged - the file that a STORE came with; it becomes visible only together with the message
   * @throws OverloadedError when too many messages are being checked
   */
  async process(message: SignedMessage, staged?: StagedFile): Promise<Outcome> {
    const { limits, clock, metrics } = this.#ports
    if (this.#running >= limits.messagesWaitingMax) {
      throw new OverloadedError('The node is checking as many messages as it can.', {
        hint: 'Send the message again in a moment.',
      })
    }
    this.#running++
    const startedMs = clock.monotonicMs()
    try {
      const outcome = await this.#settle(message, staged)
      metrics.messages.add({ type: message.type, status: outcome.status })
      return outcome
    } finally {
      this.#running--
      metrics.processing.observe((clock.monotonicMs() - startedMs) / 1_000)
    }
  }

  async #settle(message: SignedMessage, staged: StagedFile | undefined): Promise<Outcome> {
    let incoming: Incoming | undefined
    try {
      const known = await this.#known(message)
      if (known) return known
      verifySignature(message)
      incoming = await this.#checkContent(message)
      await this.#fetchFile(incoming, staged)
      return await this.#apply(incoming, staged)
    } catch (error) {
      if (error instanceof WaitingError) return this.#serial.run(() => this.#keepPending(message, incoming, error))
      if (error instanceof AlreadyForgottenError) return { status: 'forgotten', fresh: false, error }
      if (error instanceof MessageError) return this.#reject(message, incoming, error)
      throw error
    }
  }

  /** A message met before: nothing is done twice, and nobody can put another signature in place of the first. */
  async #known(message: SignedMessage): Promise<Outcome | undefined> {
    const stored = await this.#ports.store.message(message.item_hash)
    if (stored?.status === 'forgotten') {
      throw new AlreadyForgottenError(`The message ${message.item_hash} was forgotten.`, {
        details: stored.forgottenBy,
      })
    }
    if (stored?.status !== 'processed') return undefined
    if (isSameEnvelope(stored.message, message)) return { status: 'processed', fresh: false, stored }
    // Says first what is wrong with this one by itself: an unknown chain, a signature that fits nothing.
    verifySignature(message)
    throw new InvalidSignatureError(`The message ${message.item_hash} is known with another sender or signature.`)
  }

  async #checkContent(message: SignedMessage): Promise<Incoming> {
    const text = message.item_content ?? (await this.#fetchContent(message))
    const raw = parseContentText(text)
    try {
      const content = parseContent(message.type, raw)
      const receptionTimeMs = this.#ports.clock.nowMs()
      return { message, raw, content, sizeBytes: Buffer.byteLength(text), receptionTimeMs }
    } catch (cause) {
      if (!(cause instanceof InvalidShapeError)) throw cause
      const faults = cause.details as { path: string; message: string }[]
      throw new InvalidFormatError(cause.message, {
        cause,
        details: faults.map(({ path, message: msg }) => ({ loc: path.split('.'), msg })),
      })
    }
  }

  async #fetchContent(message: SignedMessage): Promise<string> {
    const hash = message.item_hash
    let bytes: Uint8Array | undefined
    try {
      bytes = await this.#ports.content.read(hash, AbortSignal.timeout(fetchTimeoutMs))
    } catch (cause) {
      if (cause instanceof TooLargeError) throw new InvalidFormatError(cause.message, { cause })
      throw new ContentUnavailableError(`The content ${hash} could not be read.`, [hash], { cause })
    }
    if (bytes) return decodeUtf8(bytes)
    throw new ContentUnavailableError(`The content ${hash} is neither here nor at a peer.`, [hash], {
      hint: 'Send it to /api/v0/storage/add_json or /api/v0/ipfs/add_json.',
    })
  }

  /** Gets the file of a STORE before the serial part, which must not wait for the network. */
  async #fetchFile(incoming: Incoming, staged: StagedFile | undefined): Promise<void> {
    const { store, content, clock } = this.#ports
    const hash = contentFields(incoming.raw).hash
    if (incoming.message.type !== 'STORE' || hash === undefined || staged?.hash === hash || (await store.file(hash)))
      return
    const sizeBytes = await content.ensure(hash, AbortSignal.timeout(fetchTimeoutMs)).catch(() => undefined)
    if (sizeBytes !== undefined) await store.apply([{ kind: 'file', hash, sizeBytes, atMs: clock.nowMs() }])
  }

  async #apply(incoming: Incoming, staged: StagedFile | undefined): Promise<Outcome> {
    const { store, clock } = this.#ports
    const outcome = await this.#serial.run(async (): Promise<Outcome> => {
      const known = await this.#known(incoming.message)
      if (known) return known
      const state = await lookUp(incoming, store, clock.nowMs())
      if (staged) state.files.set(staged.hash, staged.sizeBytes)
      let changes: Change[]
      try {
        changes = applyMessage(incoming, state)
      } catch (error) {
        // Noted before the next message is applied: what it waits for cannot slip by in between.
        if (error instanceof WaitingError) return this.#keepPending(incoming.message, incoming, error, staged)
        throw error
      }
      await staged?.commit()
      await store.apply(changes)
      const [first] = changes
      return { status: 'processed', fresh: true, ...(first?.kind === 'message' ? { stored: first.stored } : {}) }
    })
    if (outcome.fresh && outcome.stored) this.#ports.onProcessed(outcome.stored)
    return outcome
  }

  /** Must run in the serial part. A file that came along is kept, as a file without a pin yet. */
  async #keepPending(
    message: SignedMessage,
    incoming: Incoming | undefined,
    error: WaitingError,
    staged?: StagedFile,
  ): Promise<Outcome> {
    const { store, limits, clock, random } = this.#ports
    const before = await store.message(message.item_hash)
    const attempts = (before?.attempts ?? 0) + 1
    if (attempts >= limits.attemptsMax) return this.#rejectNow(message, incoming, error, before)
    if (before?.status !== 'pending' && this.#ports.pendingCount() >= limits.pendingMax) {
      throw new OverloadedError(`${limits.pendingMax} messages wait for others already.`, {
        hint: 'Publish what this message needs first.',
      })
    }
    const nowMs = clock.nowMs()
    const stored: StoredMessage = {
      ...skeletonOf(message, incoming, before, nowMs),
      status: 'pending',
      attempts,
      retryAtMs: nowMs + random.float() * Math.min(2 ** attempts, 300) * 1_000,
      waitsFor: [...error.waitsFor],
      errorCode: error.errorCode,
      errorDetails: { errors: error.errors },
    }
    await staged?.commit()
    const file: Change[] = staged ? [{ kind: 'file', hash: staged.hash, sizeBytes: staged.sizeBytes, atMs: nowMs }] : []
    await store.apply([{ kind: 'message', stored }, ...file])
    this.#ports.onPending(stored)
    return { status: 'pending', fresh: false, stored, error }
  }

  #reject(message: SignedMessage, incoming: Incoming | undefined, error: MessageError): Promise<Outcome> {
    // Only what its sender really signed is kept as rejected: a forgery must not mark a hash that the real message will have.
    if (!incoming) return Promise.resolve({ status: 'rejected', fresh: false, error })
    return this.#serial.run(async () =>
      this.#rejectNow(message, incoming, error, await this.#ports.store.message(message.item_hash)),
    )
  }

  async #rejectNow(
    message: SignedMessage,
    incoming: Incoming | undefined,
    error: MessageError,
    before: StoredMessage | undefined,
  ): Promise<Outcome> {
    const { store, clock } = this.#ports
    const outcome: Outcome = { status: 'rejected', fresh: false, error }
    if (before && before.status !== 'pending' && before.status !== 'rejected') return outcome
    const stored: StoredMessage = {
      ...skeletonOf(message, incoming, before, clock.nowMs()),
      status: 'rejected',
      errorCode: error.errorCode ?? messageErrorCodes.internal,
      errorDetails: { errors: error.errors },
    }
    await store.apply([{ kind: 'message', stored }])
    return { ...outcome, stored }
  }
}

function isSameEnvelope(a: SignedMessage, b: SignedMessage): boolean {
  return (['chain', 'sender', 'type', 'signature'] as const).every((name) => a[name] === b[name])
}

function skeletonOf(
  message: SignedMessage,
  incoming: Incoming | undefined,
  before: StoredMessage | undefined,
  nowMs: number,
): Pick<StoredMessage, 'message' | 'content' | 'receptionTimeMs' | 'sizeBytes'> {
  return {
    message,
    content: incoming?.raw ?? {},
    receptionTimeMs: before?.receptionTimeMs ?? nowMs,
    sizeBytes: incoming?.sizeBytes ?? 0,
  }
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new InvalidFormatError('The content of the message is not UTF-8.', { cause })
  }
}
