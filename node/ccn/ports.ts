import type { SignedMessage } from '../protocol/message.ts'

/** Keeps messages and the state derived from them. Implementations: SQLite, memory. One transaction per `apply`. */
export interface MessageStore {
  /** Makes the changes durable, all or none; resolves after the sync. Applying the same message twice changes nothing. */
  apply(changes: readonly Change[]): Promise<void>
  message(itemHash: string): Promise<StoredMessage | undefined>
  messages(filter: MessageFilter): Promise<{ messages: StoredMessage[]; total: number }>
  aggregates(owner: string, keys: readonly string[] | undefined): Promise<ReadonlyMap<string, AggregateState>>
  file(hash: string): Promise<FileState | undefined>
  /** Resolves a file tag (protocol 2.3) to the STORE that holds it now. */
  fileTag(tag: string): Promise<{ itemHash: string; fileHash: string; time: number } | undefined>
}

export interface StoredMessage {
  message: SignedMessage
  content: Record<string, unknown>
  status: 'processed' | 'removing' | 'removed' | 'forgotten' | 'rejected' | 'pending'
  receptionTimeMs: number
  /** Bytes of the item content. */
  sizeBytes: number
  errorCode?: number
  errorDetails?: unknown
  forgottenBy?: string[]
}

export interface AggregateState {
  content: Record<string, unknown>
  createdMs: number
  updatedMs: number
  originalItemHash: string
  lastItemHash: string
}

export interface FileState {
  hash: string
  sizeBytes: number
  /** Item hashes of the STOREs that pin it. */
  pins: string[]
}

export interface MessageFilter {
  hashes?: readonly string[]
  types?: readonly string[]
  statuses?: readonly string[]
  senders?: readonly string[]
  owners?: readonly string[]
  refs?: readonly string[]
  contentHashes?: readonly string[]
  contentKeys?: readonly string[]
  contentTypes?: readonly string[]
  channels?: readonly string[]
  chains?: readonly string[]
  tags?: readonly string[]
  /** Unix seconds; the end is exclusive. */
  startTime?: number
  endTime?: number
  order?: 'asc' | 'desc'
  limit?: number
  offset?: number
  after?: { time: number; itemHash: string }
}

/** A change to stored state, decided by pure code from a message (node/ccn/apply-message.ts). */
export type Change =
  | { kind: 'message'; stored: StoredMessage }
  | { kind: 'aggregate'; owner: string; key: string; state: AggregateState | undefined }
  | { kind: 'pin'; fileHash: string; sizeBytes: number; itemHash: string }
  | { kind: 'unpin'; itemHash: string }
  | { kind: 'fileTag'; tag: string; itemHash: string; fileHash: string; time: number }
  | { kind: 'dropFileTag'; tag: string }
  | { kind: 'amend'; original: string; itemHash: string; time: number }

/** Keeps file bytes by SHA-256 (64 hex) and blocks by CID. Implementations: a directory, memory. Verified on the way in, synced before resolve. */
export interface FileStore {
  /** Streams bytes in; the result is their SHA-256. Nothing stays when the source throws or `bytesMax` is passed. */
  put(source: AsyncIterable<Uint8Array>, bytesMax: number): Promise<{ hash: string; sizeBytes: number }>
  /** @returns undefined when absent */
  open(hash: string): Promise<{ sizeBytes: number; stream: () => AsyncIterable<Uint8Array> } | undefined>
  /** Stores a block after hashing it. @throws AppError when it does not match its CID */
  putBlock(cid: string, bytes: Uint8Array): Promise<void>
  block(cid: string): Promise<Uint8Array | undefined>
  remove(hash: string): Promise<void>
}
