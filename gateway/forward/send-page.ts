import { errorPage, type Page } from '../error-page.ts'
import { blockOf, releaseBlock } from '../http1/field-block.ts'
import { Field } from '../http1/known-fields.ts'
import type { AnswerHead, Exchange } from './exchange.ts'

/** Answers with a whole page of our own; HEAD gets its head. */
export function sendPage(exchange: Exchange, page: Page): void {
  sendWhole(exchange, page.status, page.fields, Buffer.from(page.body))
}

/** Answers with fields (pairs of name and value) and a whole body. Values must be free of CR, LF and NUL. */
export function sendWhole(exchange: Exchange, status: number, pairs: readonly string[], body?: Buffer): void {
  const fields = blockOf(pairs)
  const head: AnswerHead = { status, fields, extra: [], bodyBytes: body?.length ?? 0 }
  exchange.answer(head, body, true)
  releaseBlock(fields)
}

/**
 * Ends an exchange with the page of an error, or visibly, when an answer has begun already.
 * @param reportUrl - where the owner of the name can look up its state
 */
export function sendError(exchange: Exchange, error: unknown, reportUrl?: string): void {
  if (exchange.over) return
  if (exchange.answered) return void exchange.cut()
  const accept = exchange.head.fields.valueOf(Field.accept)
  sendPage(exchange, errorPage(error, { accept, ...(reportUrl === undefined ? {} : { reportUrl }) }))
}
