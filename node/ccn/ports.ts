import type { SignedMessage } from '../protocol/message.ts'

/** Keeps messages and the state derived from them. Implementations: SQLite, memory. One transaction per `apply`. */
export interface MessageStore {
  /** Makes the changes durable, all or none; resolves after the sync. Applying the same changes twice changes nothing. */
  apply(changes: readonly Change[]): Promise<void>
  message(itemHash: string): Promise<StoredMessage | undefined>
  /** Newest first unless `order` says otherwise. `total` counts without page and cursor; 0 when `count` is false. */
  messages(filter: MessageFilter): Promise<{ messages: StoredMessage[]; total: number }>
  /** Effective aggregates of an owner by key; all of them when `keys` is undefined. */
  aggregates(owner: string, keys: readonly string[] | undefined): Promise<ReadonlyMap<string, AggregateState>>
  file(hash: string): Promise<FileState | undefined>
  /** Resolves a file tag (protocol 2.3) to the STORE that holds it now. */
  fileTag(tag: string): Promise<FileTag | undefined>
  /** Answers small questions that need no filter. */
  ask(question: StoreQuestion): Promise<string[]>
}

/** `users`: item hashes of the VMs that use a STORE; `channels`: all in use; `unpinned`: files (not CIDs) without a pin since before a time. */
export type StoreQuestion =
  | { kind: 'users'; itemHash: string }
  | { kind: 'channels'; limit: number }
  | { kind: 'unpinned'; beforeMs: number; limit: number }

/** Where a message stands. `rejected` keeps the reason; `forgotten` keeps a skeleton without content. */
export type MessageStatus = 'pending' | 'processed' | 'rejected' | 'forgotten' | 'removing' | 'removed'

export interface StoredMessage {
  message: SignedMessage
  /** Parsed content; empty while unknown or once forgotten. */
  content: Record<string, unknown>
  status: MessageStatus
  receptionTimeMs: number
  /** Bytes of the item content. */
  sizeBytes: number
  errorCode?: number
  errorDetails?: unknown
  forgottenBy?: string[]
  /** Pending only: attempts so far, when the next is due, and what it waits for. */
  attempts?: number
  retryAtMs?: number
  waitsFor?: string[]
}

/** The merged members of an aggregate. Times are unix seconds of the elements' content. */
export interface AggregateState {
  content: Record<string, unknown>
  createdTime: number
  updatedTime: number
  originalItemHash: string
  lastItemHash: string
}

export interface FileState {
  /** SHA-256 in hex, or the text of a CID. */
  hash: string
  sizeBytes: number
  /** Item hashes of the STOREs that pin it. */
  pins: string[]
}

export interface FileTag {
  itemHash: string
  fileHash: string
  /** Unix seconds of the STORE's content. */
  time: number
}

export interface MessageFilter {
  hashes?: readonly string[]
  types?: readonly string[]
  /** Default: processed and removing. */
  statuses?: readonly string[]
  senders?: readonly string[]
  owners?: readonly string[]
  refs?: readonly string[]
  contentHashes?: readonly string[]
  contentKeys?: readonly string[]
  contentTypes?: readonly string[]
  notContentTypes?: readonly string[]
  channels?: readonly string[]
  chains?: readonly string[]
  tags?: readonly string[]
  paymentTypes?: readonly string[]
  /** Unix seconds of the envelope; the end is exclusive. */
  startTime?: number
  endTime?: number
  order?: 'asc' | 'desc'
  /** 0 or absent: all. */
  limit?: number
  offset?: number
  after?: { time: number; itemHash: string }
  count?: boolean
}

/** A change to stored state, decided by pure code from a message (node/ccn/apply-message.ts). */
export type Change =
  | { kind: 'message'; stored: StoredMessage }
  | { kind: 'aggregate'; owner: string; key: string; state: AggregateState | undefined }
  /** A file that is here. It keeps its size and pins when already known. */
  | { kind: 'file'; hash: string; sizeBytes: number; atMs: number }
  | { kind: 'dropFile'; hash: string }
  | { kind: 'pin'; fileHash: string; itemHash: string }
  | { kind: 'unpin'; itemHash: string; atMs: number }
  | { kind: 'fileTag'; tag: string; value: FileTag | undefined }
  /** The STOREs that a VM uses; replaces what was noted before. */
  | { kind: 'uses'; itemHash: string; refs: readonly string[] }

/** Keeps file bytes by SHA-256 (64 hex) and blocks by CID. Implementations: a directory, memory. What is committed survives a crash. */
export interface FileStore {
  /** Takes bytes in without making them visible. Nothing stays when the source throws or `bytesMax` is passed. @throws TooLargeError */
  stage(source: AsyncIterable<Uint8Array>, bytesMax: number): Promise<StagedFile>
  /** @returns undefined when absent */
  open(hash: string): Promise<StoredFile | undefined>
  stageBlocks(): Promise<StagedBlocks>
  /** A block under the CID's hash, whichever version the CID has; undefined when absent. */
  block(cid: string): Promise<Uint8Array | undefined>
  /** Never throws for a file that is already gone. */
  remove(hash: string): Promise<void>
}

export interface StoredFile {
  sizeBytes: number
  /** May be called more than once. */
  stream(): AsyncIterable<Uint8Array>
}

/** Bytes taken in, with the SHA-256 they have. Disposing without `commit` drops them. */
export interface StagedFile extends AsyncDisposable {
  readonly hash: string
  readonly sizeBytes: number
  /** Makes the file visible and durable. */
  commit(): Promise<void>
}

/** Blocks taken in together. Disposing without `commit` drops them. */
export interface StagedBlocks extends AsyncDisposable {
  /** @throws HashMismatchError when the bytes are not those of the CID */
  put(cid: string, bytes: Uint8Array): Promise<void>
  /** Looks among the staged blocks first, then in the store. */
  block(cid: string): Promise<Uint8Array | undefined>
  /** Makes all blocks visible and durable. */
  commit(): Promise<void>
}
