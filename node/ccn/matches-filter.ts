import { contentFields } from './content-fields.ts'
import type { MessageFilter, StoredMessage } from './ports.ts'

/** Statuses that a query shows unless it asks for others. */
export const defaultStatuses: readonly string[] = ['processed', 'removing']

/** Tells whether a message passes every part of a filter; page, order and cursor are not looked at. */
export function matchesFilter(stored: StoredMessage, filter: MessageFilter): boolean {
  const { message } = stored
  const fields = contentFields(stored.content)
  return (
    among(filter.statuses ?? defaultStatuses, stored.status) &&
    among(filter.hashes, message.item_hash) &&
    among(filter.types, message.type) &&
    among(filter.senders, message.sender) &&
    among(filter.chains, message.chain) &&
    among(filter.channels, message.channel ?? undefined) &&
    among(filter.owners, fields.owner) &&
    among(filter.refs, fields.ref) &&
    among(filter.contentHashes, fields.hash) &&
    among(filter.contentKeys, fields.key) &&
    among(filter.contentTypes, fields.type) &&
    !(fields.type !== undefined && filter.notContentTypes?.includes(fields.type)) &&
    among(filter.paymentTypes, fields.paymentType) &&
    (filter.tags === undefined || fields.tags.some((tag) => filter.tags?.includes(tag))) &&
    message.time >= (filter.startTime ?? 0) &&
    message.time < (filter.endTime ?? Number.POSITIVE_INFINITY)
  )
}

function among(allowed: readonly string[] | undefined, value: string | undefined): boolean {
  return allowed === undefined || (value !== undefined && allowed.includes(value))
}
