import type { ContentByType } from '../protocol/content.ts'
import { hashKind } from '../protocol/item-hash.ts'
import { aggregateKey, needsElements } from './apply/aggregate.ts'
import { amendTarget } from './apply/post.ts'
import { aggregateId, type Incoming, type MessageState } from './apply/state.ts'
import { storeTag } from './apply/store.ts'
import { vmFiles } from './apply/vm.ts'
import { contentFields } from './content-fields.ts'
import type { MessageStore, StoredMessage } from './ports.ts'

/** Reads from the store all that `applyMessage` may ask for this message, and nothing else. */
export async function lookUp(incoming: Incoming, store: MessageStore, nowMs: number): Promise<MessageState> {
  const state: MessageState = {
    nowMs,
    security: new Map(),
    messages: new Map(),
    amends: new Map(),
    aggregates: new Map(),
    files: new Map(),
    tags: new Map(),
    tagHolders: new Map(),
    users: new Map(),
  }
  const look = new LookUp(store, state)
  await look.security(incoming.content.address)
  switch (incoming.message.type) {
    case 'POST':
      await look.post(incoming.raw)
      break
    case 'AGGREGATE':
      await look.aggregate(incoming.content as ContentByType['AGGREGATE'])
      break
    case 'STORE':
      await look.store(incoming.message.item_hash, incoming.content as ContentByType['STORE'], incoming.raw)
      break
    case 'PROGRAM':
    case 'INSTANCE':
      await look.vm(incoming.content as ContentByType['PROGRAM'])
      break
    case 'FORGET':
      await look.forget(incoming.content as ContentByType['FORGET'])
  }
  return state
}

class LookUp {
  readonly #store: MessageStore
  readonly #state: MessageState

  constructor(store: MessageStore, state: MessageState) {
    this.#store = store
    this.#state = state
  }

  async security(owner: string): Promise<void> {
    if (this.#state.security.has(owner)) return
    const found = await this.#store.aggregates(owner, ['security'])
    this.#state.security.set(owner, found.get('security')?.content)
  }

  async message(itemHash: string): Promise<StoredMessage | undefined> {
    const found = await this.#store.message(itemHash)
    if (found) this.#state.messages.set(itemHash, found)
    return found
  }

  async file(hash: string): Promise<void> {
    const file = await this.#store.file(hash)
    if (file) this.#state.files.set(hash, file.sizeBytes)
  }

  async tag(name: string): Promise<void> {
    const tag = await this.#store.fileTag(name)
    if (tag) this.#state.tags.set(name, tag)
  }

  async post(raw: Record<string, unknown>): Promise<void> {
    const target = amendTarget(raw)
    const original = target === undefined ? undefined : await this.message(target)
    const owner = original && contentFields(original.content).owner
    if (owner) await this.security(owner)
  }

  async aggregate(content: ContentByType['AGGREGATE']): Promise<void> {
    const key = aggregateKey(content.key)
    const known = (await this.#store.aggregates(content.address, [key])).get(key)
    const elements = known && needsElements(known, content.time) ? await this.elements(content.address, key) : undefined
    this.#state.aggregates.set(aggregateId(content.address, key), { state: known, elements })
  }

  async elements(owner: string, key: string): Promise<StoredMessage[]> {
    const filter = { types: ['AGGREGATE'], owners: [owner], contentKeys: [key], count: false }
    return (await this.#store.messages(filter)).messages
  }

  async store(itemHash: string, content: ContentByType['STORE'], raw: Record<string, unknown>): Promise<void> {
    await this.file(content.item_hash)
    await this.tag(storeTag(itemHash, raw))
    if (content.ref && hashKind(content.ref)) await this.message(content.ref)
  }

  async vm(content: ContentByType['PROGRAM'] | ContentByType['INSTANCE']): Promise<void> {
    for (const { ref, useLatest } of vmFiles(content)) {
      const file = useLatest ? await this.tagFile(ref) : contentFields((await this.message(ref))?.content ?? {}).hash
      if (file) await this.file(file)
    }
    if (content.replaces) await this.message(content.replaces)
  }

  async tagFile(ref: string): Promise<string | undefined> {
    await this.tag(ref)
    return this.#state.tags.get(ref)?.fileHash
  }

  async forget(content: ContentByType['FORGET']): Promise<void> {
    for (const hash of content.hashes) await this.forgetTarget(await this.message(hash))
    for (const key of content.aggregates) {
      const elements = await this.elements(content.address, key)
      this.#state.aggregates.set(aggregateId(content.address, key), { state: undefined, elements })
    }
  }

  async forgetTarget(target: StoredMessage | undefined): Promise<void> {
    if (!target) return
    const { item_hash, type, sender } = target.message
    const { owner, key } = contentFields(target.content)
    await this.security(owner ?? sender)
    if (type === 'POST') {
      const amends = { types: ['POST'], contentTypes: ['amend'], refs: [item_hash], count: false }
      this.#state.amends.set(item_hash, (await this.#store.messages(amends)).messages)
    }
    if (type === 'AGGREGATE' && owner && key !== undefined && !this.#state.aggregates.has(aggregateId(owner, key))) {
      this.#state.aggregates.set(aggregateId(owner, key), {
        state: undefined,
        elements: await this.elements(owner, key),
      })
    }
    if (type === 'STORE') await this.forgetStore(target, owner)
  }

  async forgetStore({ message, content }: StoredMessage, owner: string | undefined): Promise<void> {
    const { ref } = contentFields(content)
    this.#state.users.set(message.item_hash, await this.#store.ask({ kind: 'users', itemHash: message.item_hash }))
    const tag = storeTag(message.item_hash, content)
    const updates = {
      types: ['STORE'],
      refs: [ref ?? message.item_hash],
      ...(owner ? { owners: [owner] } : {}),
      count: false,
    }
    const first = hashKind(tag) ? await this.#store.message(tag) : undefined
    const holders = [
      ...(await this.#store.messages(updates)).messages,
      ...(first?.status === 'processed' ? [first] : []),
    ]
    this.#state.tagHolders.set(tag, holders)
  }
}
