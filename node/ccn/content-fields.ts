import type { StoredMessage } from './ports.ts'

/** The members of a message's content that queries filter by. */
export interface ContentFields {
  owner: string | undefined
  type: string | undefined
  key: string | undefined
  ref: string | undefined
  hash: string | undefined
  paymentType: string | undefined
  /** Unix seconds of the content, which order state; the envelope's time is unsigned. */
  time: number
  tags: string[]
}

const tagsMax = 1_000

/** Reads the indexed members out of content of any type, valid or not. */
export function contentFields(content: Readonly<Record<string, unknown>>): ContentFields {
  const inner = asObject(content.content)
  const tags = Array.isArray(inner.tags) ? inner.tags.filter((tag) => typeof tag === 'string') : []
  return {
    owner: asText(content.address),
    type: asText(content.type),
    key: asText(content.key) ?? asText(asObject(content.key).name),
    ref: asText(content.ref) ?? asText(asObject(content.ref).item_hash),
    hash: asText(content.item_hash),
    paymentType: asText(asObject(content.payment).type),
    time: typeof content.time === 'number' ? content.time : 0,
    tags: [...new Set(tags)].slice(0, tagsMax),
  }
}

/** Order of a message among those that change the same thing: by signed time, then by hash. */
export function compareByContentTime(a: StoredMessage, b: StoredMessage): number {
  const difference = contentFields(a.content).time - contentFields(b.content).time
  if (difference !== 0) return difference
  return a.message.item_hash < b.message.item_hash ? -1 : 1
}

function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}
