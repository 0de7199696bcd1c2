import { matchesFilter } from '../matches-filter.ts'
import type {
  AggregateState,
  Change,
  FileTag,
  MessageFilter,
  MessageStore,
  StoredMessage,
  StoreQuestion,
} from '../ports.ts'

interface FileRow {
  sizeBytes: number
  pins: Set<string>
  unpinnedMs: number
}

/** A message store that lives as long as the process. For tests and trials. */
export function createMemoryMessageStore(): MessageStore {
  const messages = new Map<string, StoredMessage>()
  const aggregates = new Map<string, Map<string, AggregateState>>()
  const files = new Map<string, FileRow>()
  const tags = new Map<string, FileTag>()
  const uses = new Map<string, readonly string[]>()

  function applyOne(change: Change): void {
    switch (change.kind) {
      case 'message':
        messages.set(change.stored.message.item_hash, change.stored)
        break
      case 'aggregate':
        setOrDelete(
          entry(aggregates, change.owner, () => new Map()),
          change.key,
          change.state,
        )
        break
      case 'file':
        addFile(change)
        break
      case 'dropFile':
        files.delete(change.hash)
        break
      case 'pin':
        files.get(change.fileHash)?.pins.add(change.itemHash)
        break
      case 'unpin':
        for (const file of files.values()) if (file.pins.delete(change.itemHash)) file.unpinnedMs = change.atMs
        break
      case 'fileTag':
        setOrDelete(tags, change.tag, change.value)
        break
      case 'uses':
        setOrDelete(uses, change.itemHash, change.refs.length > 0 ? change.refs : undefined)
        break
    }
  }

  function addFile({ hash, sizeBytes, atMs }: Extract<Change, { kind: 'file' }>): void {
    const known = files.get(hash)
    if (known) known.unpinnedMs = Math.max(known.unpinnedMs, atMs)
    else files.set(hash, { sizeBytes, pins: new Set(), unpinnedMs: atMs })
  }

  function answer(question: StoreQuestion): string[] {
    switch (question.kind) {
      case 'users':
        return [...uses].filter(([, refs]) => refs.includes(question.itemHash)).map(([hash]) => hash)
      case 'channels': {
        const shown = [...messages.values()].filter((stored) => matchesFilter(stored, {}))
        const names = shown.map(({ message }) => message.channel).filter((name) => name !== null)
        return [...new Set(names)].sort().slice(0, question.limit)
      }
      case 'unpinned':
        return [...files]
          .filter(([hash, file]) => hash.length === 64 && file.pins.size === 0 && file.unpinnedMs < question.beforeMs)
          .map(([hash]) => hash)
          .slice(0, question.limit)
    }
  }

  return {
    async apply(changes) {
      // Cloned, so that a caller who later changes its value does not change the store.
      for (const change of structuredClone(changes)) applyOne(change)
    },
    message: async (itemHash) => structuredClone(messages.get(itemHash)),
    messages: async (filter) => structuredClone(page([...messages.values()], filter)),
    async aggregates(owner, keys) {
      const all = aggregates.get(owner) ?? new Map<string, AggregateState>()
      return new Map([...all].filter(([key]) => keys === undefined || keys.includes(key)))
    },
    async file(hash) {
      const file = files.get(hash)
      return file && { hash, sizeBytes: file.sizeBytes, pins: [...file.pins].sort() }
    },
    fileTag: async (tag) => tags.get(tag),
    ask: async (question) => answer(question),
  }
}

function page(all: StoredMessage[], filter: MessageFilter): { messages: StoredMessage[]; total: number } {
  const direction = filter.order === 'asc' ? 1 : -1
  const compare = (a: { time: number; hash: string }, b: { time: number; hash: string }): number =>
    direction * (a.time - b.time || (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : 0))
  const keyOf = ({ message }: StoredMessage) => ({ time: message.time, hash: message.item_hash })
  const matching = all.filter((stored) => matchesFilter(stored, filter)).sort((a, b) => compare(keyOf(a), keyOf(b)))
  const { after } = filter
  const rest = after
    ? matching.filter((stored) => compare(keyOf(stored), { time: after.time, hash: after.itemHash }) > 0)
    : matching
  const start = filter.offset ?? 0
  return {
    messages: rest.slice(start, filter.limit ? start + filter.limit : undefined),
    total: filter.count === false ? 0 : matching.length,
  }
}

function setOrDelete<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
  if (value === undefined) map.delete(key)
  else map.set(key, value)
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}
