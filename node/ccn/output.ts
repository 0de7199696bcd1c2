import { contentFields } from './content-fields.ts'
import type { StoredMessage } from './ports.ts'

/** How much of a message to show. */
export type ContentFormat = 'full' | 'headers' | 'none'

/** A message as the network's nodes show it: the envelope with what a node adds. */
export function toOutput(stored: StoredMessage, format: ContentFormat = 'full'): Record<string, unknown> {
  const { message, content, sizeBytes } = stored
  const envelope = { ...message, size: sizeBytes, confirmed: false, confirmations: [] }
  if (stored.status === 'forgotten')
    return { ...envelope, owner: contentFields(content).owner, forgotten_by: stored.forgottenBy ?? [] }
  if (format === 'full') return { ...envelope, item_content: message.item_content ?? null, content }
  const { item_content: _, ...rest } = envelope
  return format === 'none' ? rest : { ...rest, content: headersOf(content) }
}

/** The members that tell messages apart, without the payload. */
function headersOf(content: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const names = ['address', 'time', 'type', 'key', 'ref', 'item_type', 'item_hash']
  return Object.fromEntries(names.filter((name) => name in content).map((name) => [name, content[name]]))
}

/** The answer of `GET /messages/{hash}`, whose members depend on the status (protocol 3.3). */
export function toStatusOutput(stored: StoredMessage): Record<string, unknown> {
  const { status, message } = stored
  const head = { status, item_hash: message.item_hash, reception_time: new Date(stored.receptionTimeMs).toISOString() }
  switch (status) {
    case 'pending':
      // The reason is more than the network's nodes tell: a publisher wants to know what is missing.
      return { ...head, messages: [toOutput(stored)], error_code: stored.errorCode, details: stored.errorDetails }
    case 'forgotten':
      return { ...head, message: toOutput(stored), forgotten_by: stored.forgottenBy ?? [] }
    case 'rejected':
      return { ...head, message: toOutput(stored), error_code: stored.errorCode, details: stored.errorDetails }
    default:
      return { ...head, message: toOutput(stored) }
  }
}

/** A POST with its effective amend, in the older form of the posts API. */
export function toPostV0(original: StoredMessage, amend: StoredMessage | undefined): Record<string, unknown> {
  const shown = amend ?? original
  const { type, ref, owner } = contentFields(original.content)
  return {
    ...shown.message,
    item_content: shown.message.item_content ?? null,
    type,
    content: shown.content.content,
    size: shown.sizeBytes,
    confirmed: false,
    confirmations: [],
    original_item_hash: original.message.item_hash,
    original_signature: original.message.signature,
    original_type: type,
    hash: original.message.item_hash,
    address: owner,
    ref: ref ?? null,
  }
}

/** A POST with its effective amend, in the newer form. Times are ISO texts. */
export function toPostV1(original: StoredMessage, amend: StoredMessage | undefined): Record<string, unknown> {
  const shown = amend ?? original
  const { type, ref, owner, time } = contentFields(original.content)
  return {
    item_hash: shown.message.item_hash,
    content: shown.content.content,
    original_item_hash: original.message.item_hash,
    original_type: type,
    address: owner,
    ref: ref ?? null,
    channel: original.message.channel,
    created: isoTime(time),
    last_updated: isoTime(contentFields(shown.content).time),
  }
}

/** Unix seconds as ISO 8601; times beyond what a date holds become the latest one. */
export function isoTime(seconds: number): string {
  return new Date(Math.min(seconds * 1_000, 8.64e15)).toISOString()
}
