import type { SQLInputValue } from 'node:sqlite'
import { defaultStatuses } from '../matches-filter.ts'
import type { MessageFilter } from '../ports.ts'

/** SQL for a filter: `where` decides what matches (and is counted), `pageWhere` and `suffix` cut the page out of it. */
export interface QueryPlan {
  where: string
  values: SQLInputValue[]
  pageWhere: string
  pageValues: SQLInputValue[]
  suffix: string
}

// One JSON parameter per list, so that a query's text depends only on which filters are used, and is prepared once.
const inList = (column: string): string => `${column} IN (SELECT value FROM json_each(?))`

/** Decides the SQL for a message query. Values never become part of the text. */
export function planQuery(filter: MessageFilter): QueryPlan {
  const parts: string[] = []
  const values: SQLInputValue[] = []
  const add = (sql: string, value: SQLInputValue): void => {
    parts.push(sql)
    values.push(value)
  }
  const addList = (column: string, list: readonly string[] | undefined): void => {
    if (list) add(inList(column), JSON.stringify(list))
  }
  addList('status', filter.statuses ?? defaultStatuses)
  addList('item_hash', filter.hashes)
  addList('type', filter.types)
  addList('sender', filter.senders)
  addList('owner', filter.owners)
  addList('content_ref', filter.refs)
  addList('content_hash', filter.contentHashes)
  addList('content_key', filter.contentKeys)
  addList('content_type', filter.contentTypes)
  addList('channel', filter.channels)
  addList('chain', filter.chains)
  addList('payment_type', filter.paymentTypes)
  if (filter.notContentTypes) {
    add(`(content_type IS NULL OR NOT ${inList('content_type')})`, JSON.stringify(filter.notContentTypes))
  }
  if (filter.tags)
    add(`item_hash IN (SELECT item_hash FROM message_tags WHERE ${inList('tag')})`, JSON.stringify(filter.tags))
  if (filter.startTime !== undefined) add('time >= ?', filter.startTime)
  if (filter.endTime !== undefined) add('time < ?', filter.endTime)
  const descending = filter.order !== 'asc'
  const direction = descending ? 'DESC' : 'ASC'
  return {
    where: parts.join(' AND '),
    values,
    pageWhere: filter.after ? ` AND (time, item_hash) ${descending ? '<' : '>'} (?, ?)` : '',
    pageValues: [
      ...(filter.after ? [filter.after.time, filter.after.itemHash] : []),
      // SQLite takes a negative limit as none.
      filter.limit || -1,
      filter.offset ?? 0,
    ],
    suffix: `ORDER BY time ${direction}, item_hash ${direction} LIMIT ? OFFSET ?`,
  }
}
