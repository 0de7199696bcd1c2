import { type MessageType, messageTypes } from './content.ts'
import { InvalidFormatError } from './errors.ts'
import { hashKind, type ItemType, verifyItemHash } from './item-hash.ts'

/** The signed envelope of a message, in the network's own words. `time` is unix seconds and, like `channel`, not signed. */
export interface SignedMessage {
  chain: string
  sender: string
  type: MessageType
  item_hash: string
  signature: string
  item_type: ItemType
  /** The exact JSON text; present for `inline` only. */
  item_content?: string
  time: number
  channel: string | null
}

/** Longest inline content, in characters (reference 1.3). */
export const itemContentCharsMax = 200_000
/** Longest channel name, in characters. */
export const channelCharsMax = 128
const senderCharsMax = 256
// Tezos and Cosmos signatures are JSON texts of a few hundred characters; this leaves room for any of them.
const signatureCharsMax = 4_096
const timeMax = 253_402_300_799

/**
 * Turns outside data into a message envelope. Checks form, limits and, for inline content, the hash; not the signature.
 * Members that nodes add on output (`content`, `size`, `confirmations` …) are dropped.
 * @param json - JSON text, or its parsed value
 * @throws InvalidFormatError (network error 0) naming the member that is wrong
 */
export function parseMessage(json: unknown): SignedMessage {
  const fields = toObject(json)
  const itemHash = readText(fields, 'item_hash', 128)
  const kind = hashKind(itemHash)
  if (kind === undefined) throw wrong('item_hash', itemHash, 'must be 64 lower-case hex characters or a CID')
  const itemContent = readItemContent(fields)
  const itemType = readItemType(fields, itemContent, kind)
  if (itemContent !== undefined) verifyItemHash(itemContent, itemHash)
  return {
    chain: readText(fields, 'chain', 32),
    sender: readText(fields, 'sender', senderCharsMax),
    type: readType(fields),
    item_hash: itemHash,
    signature: readText(fields, 'signature', signatureCharsMax),
    item_type: itemType,
    ...(itemContent === undefined ? {} : { item_content: itemContent }),
    time: readTime(fields),
    channel: readChannel(fields),
  }
}

/**
 * Parses the JSON text of a message's content.
 * @throws InvalidFormatError when it is no JSON object, or holds an escaped NUL, which other nodes cannot store
 */
export function parseContentText(text: string): Record<string, unknown> {
  if (text.includes('\\u0000')) throw wrong('item_content', '\\u0000', 'must not hold an escaped NUL character')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new InvalidFormatError('The content of the message is not JSON.', { cause })
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new InvalidFormatError('The content of the message must be a JSON object.')
}

function toObject(json: unknown): Record<string, unknown> {
  let value = json
  if (typeof json === 'string') {
    try {
      value = JSON.parse(json)
    } catch (cause) {
      throw new InvalidFormatError('The message is not JSON.', { cause })
    }
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new InvalidFormatError('A message must be a JSON object.')
}

function readText(fields: Record<string, unknown>, name: string, charsMax: number): string {
  const value = fields[name]
  if (typeof value !== 'string' || value === '') throw wrong(name, value, 'must be a text')
  if (value.length > charsMax)
    throw wrong(name, `${value.length} characters`, `must have at most ${charsMax} characters`)
  return value
}

function readType(fields: Record<string, unknown>): MessageType {
  const type = readText(fields, 'type', 32)
  const known = messageTypes.find((candidate) => candidate === type)
  if (known === undefined) throw wrong('type', type, `must be one of ${messageTypes.join(', ')}`)
  return known
}

function readItemContent(fields: Record<string, unknown>): string | undefined {
  const value = fields.item_content
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string') throw wrong('item_content', typeof value, 'must be a text')
  if (value.length > itemContentCharsMax) {
    throw wrong(
      'item_content',
      `${value.length} characters`,
      `must have at most ${itemContentCharsMax} characters inline`,
    )
  }
  // A lone surrogate has no UTF-8 form, so nodes could not agree on its hash.
  if (!value.isWellFormed()) throw wrong('item_content', 'half of a surrogate pair', 'must be well-formed Unicode')
  return value
}

function readItemType(
  fields: Record<string, unknown>,
  content: string | undefined,
  kind: 'storage' | 'ipfs',
): ItemType {
  const given = fields.item_type ?? (content === undefined ? kind : 'inline')
  if (given !== 'inline' && given !== 'storage' && given !== 'ipfs') {
    throw wrong('item_type', given, 'must be inline, storage or ipfs')
  }
  if (given === 'inline' && content === undefined) throw wrong('item_content', undefined, 'is required when inline')
  if (given !== 'inline' && content !== undefined) throw wrong('item_content', 'text', `must be absent for ${given}`)
  if (kind !== (given === 'ipfs' ? 'ipfs' : 'storage'))
    throw wrong('item_hash', fields.item_hash, `does not fit ${given}`)
  return given
}

function readTime(fields: Record<string, unknown>): number {
  const value = fields.time
  const seconds = typeof value === 'string' ? Date.parse(value) / 1_000 : value
  if (typeof seconds === 'number' && seconds >= 0 && seconds <= timeMax) return seconds
  throw wrong('time', value, 'must be unix seconds or an ISO 8601 text')
}

function readChannel(fields: Record<string, unknown>): string | null {
  const value = fields.channel ?? null
  if (value === null) return null
  if (typeof value !== 'string') throw wrong('channel', typeof value, 'must be a text or null')
  if (value.length > channelCharsMax)
    throw wrong('channel', `${value.length} characters`, `must have at most ${channelCharsMax}`)
  return value
}

function wrong(name: string, value: unknown, rule: string): InvalidFormatError {
  const shown = typeof value === 'string' ? `"${value.slice(0, 80)}"` : value === undefined ? 'missing' : typeof value
  return new InvalidFormatError(`The member ${name} of the message is ${shown}; it ${rule}.`, {
    details: [{ loc: [name], msg: rule }],
  })
}
