import type { Clock } from '../../core/clock.ts'
import { z } from '../../core/schema.ts'
import type { MessageType } from '../protocol/content.ts'
import { sha256Hex } from '../protocol/item-hash.ts'
import type { SignedMessage } from '../protocol/message.ts'
import { type RuntimeName, wellKnownRuntimes } from '../protocol/runtimes.ts'
import { type Signer, signMessage } from '../protocol/signer.ts'
import type { Answer, CcnPool, RequestBody } from './ccn-pool.ts'
import { PublishRefusedError } from './errors.ts'
import { packDirectory } from './pack-site.ts'

export { importSite } from './pack-site.ts'

/** Who publishes, and under which channel (default `LASTMILE`). */
export interface PublishOptions {
  signer: Signer
  channel?: string
  signal?: AbortSignal
}

/** What was published. `pending` messages take effect by themselves once what they refer to arrives. */
export interface Published {
  itemHash: string
  status: 'processed' | 'pending'
  message: SignedMessage
}

export interface ProgramOptions extends PublishOptions {
  /** Zip or squashfs image, or the plain source. */
  code: Uint8Array
  encoding: 'zip' | 'squashfs' | 'plain'
  /** `module:app` for ASGI, else the command. */
  entrypoint: string
  /** `python`, `node`, or the item hash of a STORE with a root filesystem. */
  runtime: RuntimeName | (string & {})
  interface?: 'asgi' | 'binary'
  /**
   * Item hash of the first STORE of this program's code. The code becomes a new version of that file, which every program that
   * refers to it takes up, and a further PROGRAM with a hash of its own is published for it. For the new version alone, with
   * the program's hash as it was, use `publishFile` with `ref`.
   */
  updates?: string
  memoryMib?: number
  vcpus?: number
  timeoutSeconds?: number
  internet?: boolean
  variables?: Readonly<Record<string, string>>
  metadata?: Readonly<Record<string, unknown>>
  volumes?: readonly Readonly<Record<string, unknown>>[]
}

/** Publishes messages and files. Each call resolves when a node has made it durable. */
export interface Publisher {
  /** Stores the code and publishes a PROGRAM that follows its updates. @throws PublishRefusedError */
  publishProgram(options: ProgramOptions): Promise<Published & { codeHash: string }>
  /** @param ref - item hash of the STORE that this file is a new version of, or a name of one's own */
  publishFile(options: PublishOptions & { bytes: Uint8Array; ref?: string }): Promise<Published & { fileHash: string }>
  /** Stores a directory as an IPFS site. @returns its CID too */
  publishSite(options: PublishOptions & { directory: string; ref?: string }): Promise<Published & { cid: string }>
  publishAggregate(options: PublishOptions & { key: string; content: Record<string, unknown> }): Promise<Published>
  publishPost(options: PublishOptions & { type: string; content: unknown; ref?: string }): Promise<Published>
  forget(options: PublishOptions & { hashes: readonly string[]; reason?: string }): Promise<Published>
}

const answerSchema = z.looseObject({
  message_status: z.enum(['processed', 'pending', 'rejected', 'forgotten']).optional(),
  detail: z.string().optional(),
  hint: z.string().optional(),
  error_code: z.number().optional(),
  details: z.unknown().optional(),
})
const answerBytesMax = 1_048_576
const defaultChannel = 'LASTMILE'

/**
 * @param pool - where to publish: one node is enough, as nodes pass messages on
 * @param onPublished - called with the item hash of each message that a node took
 */
export function createPublisher(pool: CcnPool, clock: Clock, onPublished: (itemHash: string) => void): Publisher {
  let lastMs = 0
  /** The newest wins, so two messages of one publisher never have the same time, and none is dated before the one ahead. */
  const nextMs = (): number => {
    lastMs = Math.max(clock.nowMs(), lastMs + 1)
    return lastMs
  }
  const sign = (options: PublishOptions, type: MessageType, content: Record<string, unknown>) => {
    const time = nextMs() / 1_000
    const full = { address: options.signer.address, time, ...content }
    return signMessage(options.signer, { type, content: full, time, channel: options.channel ?? defaultChannel })
  }
  const send = async (
    path: string,
    body: RequestBody,
    message: SignedMessage,
    options: PublishOptions,
  ): Promise<Published> => {
    const contentType = typeof body === 'string' ? { contentType: 'application/json' } : {}
    const ask = {
      method: 'POST',
      body,
      signal: options.signal ?? new AbortController().signal,
      bytesMax: answerBytesMax,
      withinMs: publishMs(body),
      ...contentType,
    }
    const status = await pool.ask(path, `the ${message.type} to publish`, ask, readPublishAnswer)
    onPublished(message.item_hash)
    return { itemHash: message.item_hash, status, message }
  }
  const publish = async (
    options: PublishOptions,
    type: MessageType,
    content: Record<string, unknown>,
  ): Promise<Published> => {
    const message = await sign(options, type, content)
    return send('/api/v0/messages', JSON.stringify({ sync: true, message }), message, options)
  }
  const upload = async (
    path: string,
    file: Blob,
    content: Record<string, unknown>,
    options: PublishOptions,
  ): Promise<Published> => {
    const message = await sign(options, 'STORE', content)
    const form = new FormData()
    // In front: it tells the node how large the file may be.
    form.append('metadata', JSON.stringify({ message, sync: true }))
    form.append('file', file, 'file')
    return send(path, form, message, options)
  }

  const publisher: Publisher = {
    async publishFile({ bytes, ref, ...options }) {
      const fileHash = sha256Hex(bytes)
      const content = { item_type: 'storage', item_hash: fileHash, ...(ref === undefined ? {} : { ref }) }
      return { ...(await upload('/api/v0/storage/add_file', blobOf([bytes]), content, options)), fileHash }
    },
    async publishSite({ directory, ref, ...options }) {
      const { cid, car } = await packDirectory(directory)
      const content = { item_type: 'ipfs', item_hash: cid, ...(ref === undefined ? {} : { ref }) }
      return { ...(await upload('/api/v0/ipfs/add_car', blobOf([car]), content, options)), cid }
    },
    async publishProgram({ code, updates, ...options }) {
      const stored = await publisher.publishFile({
        ...options,
        bytes: code,
        ...(updates === undefined ? {} : { ref: updates }),
      })
      const codeHash = updates ?? stored.itemHash
      return { ...(await publish(options, 'PROGRAM', programContent(options, codeHash))), codeHash }
    },
    publishAggregate: ({ key, content, ...options }) => publish(options, 'AGGREGATE', { key, content }),
    publishPost: ({ type, content, ref, ...options }) =>
      publish(options, 'POST', { type, content, ...(ref === undefined ? {} : { ref }) }),
    forget: ({ hashes, reason, ...options }) =>
      publish(options, 'FORGET', { hashes, ...(reason === undefined ? {} : { reason }) }),
  }
  return publisher
}

/** @throws PublishRefusedError with the node's reason */
async function readPublishAnswer({ ok, status, bytes }: Answer): Promise<'processed' | 'pending'> {
  const answer = answerSchema.catch({}).parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
  if (ok && (answer.message_status === 'processed' || answer.message_status === 'pending')) return answer.message_status
  throw new PublishRefusedError(`The node refused the message: ${answer.detail ?? `status ${status}`}`, {
    ...(answer.hint === undefined ? {} : { hint: answer.hint }),
    details: { status, error_code: answer.error_code, details: answer.details },
  })
}

/** How long an answer may take: a node waits up to 30 s until the message settles, and files go out at 1 Mbit/s or more. */
function publishMs(body: RequestBody): number {
  let bytes = typeof body === 'string' ? body.length : 0
  if (body instanceof FormData)
    for (const [, value] of body) bytes += typeof value === 'string' ? value.length : value.size
  return 40_000 + bytes / 125
}

function programContent(options: Omit<ProgramOptions, 'code' | 'updates'>, codeHash: string): Record<string, unknown> {
  const { runtime } = options
  return {
    type: 'vm-function',
    allow_amend: false,
    ...(options.metadata ? { metadata: options.metadata } : {}),
    code: {
      encoding: options.encoding,
      entrypoint: options.entrypoint,
      ref: codeHash,
      use_latest: true,
      ...(options.interface ? { interface: options.interface } : {}),
    },
    runtime: { ref: runtimeRef(runtime), use_latest: true, comment: runtime.length < 32 ? runtime : '' },
    on: { http: true, persistent: false },
    environment: { reproducible: false, internet: options.internet ?? false, aleph_api: false, shared_cache: false },
    resources: { vcpus: options.vcpus ?? 1, memory: options.memoryMib ?? 128, seconds: options.timeoutSeconds ?? 30 },
    variables: options.variables ?? {},
    volumes: options.volumes ?? [],
  }
}

function runtimeRef(runtime: string): string {
  return runtime === 'python' || runtime === 'node' ? wellKnownRuntimes[runtime] : runtime
}

function blobOf(parts: readonly Uint8Array[]): Blob {
  return new Blob(parts as Uint8Array<ArrayBuffer>[])
}
