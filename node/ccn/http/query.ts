import { hashKind } from '../../protocol/item-hash.ts'
import { BadRequestError } from '../errors.ts'
import type { MessageFilter } from '../ports.ts'

/** Query parameters as they arrive: a name given twice is a list. */
export type Query = Readonly<Record<string, unknown>>

const listItemsMax = 1_000
const pageSizeMax = 1_000
const cursorPageSizeMax = 200

/** A text parameter, undefined when absent or empty. The last one counts when it is given more than once. */
export function textParam(query: Query, name: string): string | undefined {
  const value = query[name]
  const last: unknown = Array.isArray(value) ? value.at(-1) : value
  return typeof last === 'string' && last !== '' ? last : undefined
}

/** A comma separated list, undefined when absent. @throws BadRequestError past 1,000 items */
export function listParam(query: Query, ...names: string[]): string[] | undefined {
  const items = names.flatMap((name) => textParam(query, name)?.split(',') ?? []).filter((item) => item !== '')
  if (items.length > listItemsMax)
    throw new BadRequestError(`The parameter ${names[0]} lists more than ${listItemsMax} values.`)
  return items.length > 0 ? items : undefined
}

/** A number parameter. @throws BadRequestError when it is no number within the bounds */
export function numberParam(
  query: Query,
  name: string,
  bounds: { fallback: number; min: number; max: number },
): number {
  const text = textParam(query, name)
  if (text === undefined) return bounds.fallback
  const value = Number(text)
  if (Number.isFinite(value) && value >= bounds.min && value <= bounds.max) return value
  throw new BadRequestError(
    `The parameter ${name} is "${text.slice(0, 40)}"; it must be a number from ${bounds.min} to ${bounds.max}.`,
  )
}

/** Whether a flag is set: `true`, `1` or the bare name. */
export function flagParam(query: Query, name: string): boolean {
  const value = query[name]
  return value !== undefined && !['false', '0', 'False'].includes(String(value))
}

/** The filters of protocol 3.2, the same for lists and subscriptions. @throws BadRequestError */
export function parseFilter(query: Query): MessageFilter {
  const filter: Record<string, unknown> = {
    hashes: listParam(query, 'hashes'),
    types: listParam(query, 'msgType', 'msgTypes'),
    statuses: listParam(query, 'msgStatuses'),
    senders: listParam(query, 'addresses'),
    owners: listParam(query, 'owners'),
    refs: listParam(query, 'refs'),
    contentHashes: listParam(query, 'contentHashes'),
    contentKeys: listParam(query, 'contentKeys'),
    contentTypes: listParam(query, 'contentTypes'),
    channels: listParam(query, 'channels'),
    chains: listParam(query, 'chains'),
    tags: listParam(query, 'tags'),
    paymentTypes: listParam(query, 'paymentTypes'),
    startTime: timeParam(query, 'startDate'),
    endTime: timeParam(query, 'endDate'),
  }
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined))
}

function timeParam(query: Query, name: string): number | undefined {
  const seconds = numberParam(query, name, { fallback: 0, min: 0, max: 1e12 })
  return seconds > 0 ? seconds : undefined
}

/** Which part of a list is asked for: a numbered page, or what follows a cursor. */
export interface PageRequest {
  page: number
  pagination: number
  order: 'asc' | 'desc'
  /** Set in cursor mode; `after` is undefined for the first page. */
  cursor?: { after: { time: number; itemHash: string } | undefined }
}

/** @param pathPage - the page number in a path such as `/page/2.json`, which wins. @throws BadRequestError */
export function parsePage(query: Query, defaultSize: number, pathPage?: string): PageRequest {
  const inCursorMode = query.cursor !== undefined
  const max = inCursorMode ? cursorPageSizeMax : pageSizeMax
  const asked = numberParam(query, 'pagination', { fallback: defaultSize, min: 0, max: 1e9 })
  const page = numberParam(pathPage === undefined ? query : { page: pathPage }, 'page', {
    fallback: 1,
    min: 1,
    max: 1e9,
  })
  return {
    page: Math.floor(page),
    // 0 asks for all: all that one answer carries.
    pagination: asked === 0 ? max : Math.min(Math.floor(asked), max),
    order: textParam(query, 'sortOrder') === '1' ? 'asc' : 'desc',
    ...(inCursorMode ? { cursor: { after: decodeCursor(textParam(query, 'cursor')) } } : {}),
  }
}

/** The part of a filter that cuts the page out. */
export function pageFilter({ page, pagination, order, cursor }: PageRequest): MessageFilter {
  if (cursor) return { order, limit: pagination, count: false, ...(cursor.after ? { after: cursor.after } : {}) }
  return { order, limit: pagination, offset: (page - 1) * pagination }
}

/** The members that tell a client where it is in a list. @param last - time and hash of the last item shown */
export function pageMembers(
  request: PageRequest,
  item: string,
  total: number,
  last: { time: number; itemHash: string } | undefined,
) {
  if (request.cursor) return { pagination_per_page: request.pagination, next_cursor: last ? encodeCursor(last) : null }
  return {
    pagination_per_page: request.pagination,
    pagination_page: request.page,
    pagination_total: total,
    pagination_item: item,
  }
}

function encodeCursor({ time, itemHash }: { time: number; itemHash: string }): string {
  return Buffer.from(JSON.stringify({ h: itemHash, t: time })).toString('base64url')
}

function decodeCursor(text: string | undefined): { time: number; itemHash: string } | undefined {
  if (text === undefined) return undefined
  try {
    const { h, t } = JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as { h: unknown; t: unknown }
    const time = typeof t === 'string' ? Date.parse(t) / 1_000 : t
    if (typeof h === 'string' && hashKind(h) && typeof time === 'number' && Number.isFinite(time))
      return { time, itemHash: h }
  } catch {
    // Falls through to the error that names the parameter.
  }
  throw new BadRequestError('The parameter cursor is not one that this node gave out.', {
    hint: 'Start again with an empty cursor.',
  })
}
