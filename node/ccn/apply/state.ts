import type { ContentByType, MessageType } from '../../protocol/content.ts'
import type { SignedMessage } from '../../protocol/message.ts'
import type { AggregateState, FileTag, StoredMessage } from '../ports.ts'

/** A message whose signature and content have been checked. */
export interface Incoming<T extends MessageType = MessageType> {
  message: SignedMessage
  /** As received. */
  raw: Record<string, unknown>
  /** Checked, with defaults filled in. */
  content: ContentByType[T]
  sizeBytes: number
  receptionTimeMs: number
}

/** What was looked up for a message before deciding. A key that was asked for and not found is absent. */
export interface MessageState {
  nowMs: number
  /** Content of the `security` aggregate by owner. */
  security: Map<string, unknown>
  messages: Map<string, StoredMessage>
  /** POST amends by the hash of their original. */
  amends: Map<string, StoredMessage[]>
  /** Aggregates by `aggregateId`, with all elements where a re-merge may be needed. */
  aggregates: Map<string, { state: AggregateState | undefined; elements: StoredMessage[] | undefined }>
  /** Sizes of files that are here (or staged with this message). */
  files: Map<string, number>
  tags: Map<string, FileTag>
  /** STOREs that carry a tag, for falling back when one is forgotten. */
  tagHolders: Map<string, StoredMessage[]>
  /** VMs that use a STORE, by its item hash. */
  users: Map<string, string[]>
}

/** Names an aggregate in `MessageState.aggregates`. */
export function aggregateId(owner: string, key: string): string {
  return JSON.stringify([owner, key])
}
