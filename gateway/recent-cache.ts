import { LRUCache } from 'lru-cache'

/** A bounded map that forgets what was used least recently. `values` and `keys` go from the most to the least recently used. */
export interface RecentCache<Key, Value> {
  get(key: Key): Value | undefined
  /** Like `get`, but does not count as a use. */
  peek(key: Key): Value | undefined
  set(key: Key, value: Value): unknown
  delete(key: Key): boolean
  values(): Iterable<Value>
  keys(): Iterable<Key>
}

/** A cache of at most `entriesMax` entries. */
export function createCache<Key extends {}, Value extends {}>(entriesMax: number): RecentCache<Key, Value> {
  // Bounded by size with every entry counting one: with `max` the package allocates room for all entries at once (65 ms and 8 MB for the
  // caches of one gateway).
  return new LRUCache<Key, Value>({ maxSize: entriesMax, sizeCalculation: () => 1 })
}

/** A cache of at most `bytesMax` bytes of content; the cost of an entry itself counts as 64 bytes. */
export function createBytesCache<Key extends {}>(bytesMax: number): RecentCache<Key, Uint8Array> {
  return new LRUCache<Key, Uint8Array>({ maxSize: bytesMax, sizeCalculation: (bytes) => bytes.length + 64 })
}
