import { type Problem, toProblem } from '../core/errors.ts'
import { HostsFullError, MethodNotAllowedError, TooManyRequestsError } from './errors.ts'
import type { RecordFinding } from './ports.ts'

/** A whole answer that the gateway gives itself. */
export interface Page {
  status: number
  fields: string[]
  body: string
}

export interface ErrorPageOptions {
  /** The Accept field of the request. */
  accept: string | undefined
  /** Where the owner of a name can look up its state, where the name is one that could be served here. */
  reportUrl?: string
}

/**
 * The answer to a failed request: a plain page for browsers, problem details (RFC 9457) for everything else. It says what happened, whose
 * fault it is and what to do; for a domain it lists each record that was looked at. It holds nothing of the requester.
 */
export function errorPage(error: unknown, options: ErrorPageOptions): Page {
  const problem = toProblem(error)
  const retryAfter = retryAfterSeconds(error, problem)
  const fields = [
    ...(retryAfter === undefined ? [] : ['Retry-After', String(retryAfter)]),
    // RFC 9110 §15.5.6.
    ...(error instanceof MethodNotAllowedError ? ['Allow', error.allow] : []),
    ...safeFields,
  ]
  if (wantsHtml(options.accept)) {
    return {
      status: problem.status,
      fields: ['Content-Type', 'text/html; charset=utf-8', ...fields],
      body: problemHtml(problem, options.reportUrl),
    }
  }
  const body = `${JSON.stringify(problem, null, 2)}\n`
  return { status: problem.status, fields: ['Content-Type', 'application/problem+json', ...fields], body }
}

/** True when the Accept field asks for HTML: a browser navigates. */
export function wantsHtml(accept: string | undefined): boolean {
  return accept?.includes('text/html') ?? false
}

/** Fields of every page of our own: no script, no sniffing, no cache, no referrer. */
export const safeFields: readonly string[] = [
  'Cache-Control',
  'no-store',
  'X-Content-Type-Options',
  'nosniff',
  'Referrer-Policy',
  'no-referrer',
  'Content-Security-Policy',
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
]

const faultText: Record<Problem['fault'], string> = {
  caller: 'The request or the records of this name need a correction.',
  upstream: 'Something that this gateway depends on did not do its part. The request itself was fine.',
  ours: 'This gateway failed. The request itself was fine.',
}

function problemHtml(problem: Problem, reportUrl: string | undefined): string {
  const records = recordFindings(problem.details)
  return htmlPage(`${problem.status} ${problem.code}`, [
    `<h1>${escapeHtml(problem.detail)}</h1>`,
    problem.hint ? `<p>${escapeHtml(problem.hint)}</p>` : '',
    records.length > 0 ? recordTable(records) : '',
    `<p class="quiet">${escapeHtml(faultText[problem.fault])} Status ${problem.status}, code <code>${escapeHtml(problem.code)}</code>.</p>`,
    reportUrl
      ? `<p class="quiet">Look the records up again: <a href="${escapeHtml(reportUrl)}">${escapeHtml(reportUrl)}</a></p>`
      : '',
  ])
}

/** A table of DNS records: name, type, what is there, what to write. */
export function recordTable(records: readonly RecordFinding[]): string {
  const rows = records.map(
    ({ record, type, found, expected }) =>
      `<tr><td><code>${escapeHtml(record)}</code></td><td>${escapeHtml(type ?? '')}</td><td>${values(found, 'nothing')}</td><td>${values(expected, 'right as it is')}</td></tr>`,
  )
  return `<table><thead><tr><th>Record</th><th>Type</th><th>Found</th><th>Write</th></tr></thead><tbody>${rows.join('')}</tbody></table>`
}

/** A page in the gateway's plain style, readable without any other file. `parts` are HTML. */
export function htmlPage(title: string, parts: readonly string[]): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}</title>
<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:3rem auto;padding:0 1rem}
h1{font-size:1.4rem}table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.4rem .8rem .4rem 0;border-bottom:1px solid #8884}
code{overflow-wrap:anywhere}.quiet{opacity:.7;font-size:.9rem}</style></head>
<body>${parts.filter(Boolean).join('\n')}</body></html>
`
}

/** Escapes text for HTML content and attribute values. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
}

/** The record list in the details of an error, as far as it has that shape; details come from other modules. */
function recordFindings(details: unknown): RecordFinding[] {
  if (!Array.isArray(details)) return []
  return details.filter((item): item is RecordFinding => {
    const { record, type } = (item ?? {}) as { record?: unknown; type?: unknown }
    return typeof record === 'string' && (type === undefined || typeof type === 'string')
  })
}

function values(value: unknown, none: string): string {
  const list = (Array.isArray(value) ? value : [value]).filter(
    (item) => item !== undefined && item !== null && item !== '',
  )
  if (list.length === 0) return `<i>${none}</i>`
  return list.map((item) => `<code>${escapeHtml(String(item))}</code>`).join('<br>')
}

function retryAfterSeconds(error: unknown, problem: Problem): number | undefined {
  // Round up: Retry-After counts whole seconds (RFC 9110 §10.2.3), and 0 would invite an instant retry.
  if (error instanceof HostsFullError || error instanceof TooManyRequestsError)
    return Math.max(1, Math.ceil(error.retryAfterMs / 1_000))
  return problem.status === 503 ? 2 : undefined
}
