import type { Clock } from '../../core/clock.ts'
import type { GatewayConfig } from '../config.ts'
import { escapeHtml, htmlPage, type Page, recordTable, safeFields, wantsHtml } from '../error-page.ts'
import { BadRequestError, MethodNotAllowedError, OverloadedError, PageNotFoundError } from '../errors.ts'
import { parseHost } from '../guard/host-name.ts'
import type { DomainReport, DomainReporter } from '../ports.ts'

export interface ZonePagesPorts {
  clock: Clock
  domainReport?: DomainReporter | undefined
}

const reportPath = '/.well-known/lastmile/domain/'
/** Each report asks DNS afresh, so few may run at a time. */
const reportsMax = 32
const reportMs = 15_000

/** The address of the report on a name. `port` is the public HTTPS port. */
export function reportUrl(zone: string, port: number, host: string): string {
  return `https://${zone}${port === 443 ? '' : `:${port}`}${reportPath}${host}`
}

/** The gateway's own pages, under the bare zone name: what this is, and the state of any domain. */
export class ZonePages {
  readonly #config: GatewayConfig
  readonly #ports: ZonePagesPorts
  #reports = 0

  constructor(config: GatewayConfig, ports: ZonePagesPorts) {
    this.#config = config
    this.#ports = ports
  }

  /** @throws AppError */
  async answer(method: string, target: string, accept: string | undefined): Promise<Page> {
    if (method !== 'GET' && method !== 'HEAD') throw new MethodNotAllowedError(method, 'GET, HEAD')
    const path = target.split('?', 1)[0] as string
    if (path === '/') return html(200, aboutPage(this.#config.zone))
    if (path.startsWith(reportPath)) return this.#report(path.slice(reportPath.length), accept)
    throw new PageNotFoundError('The gateway has no such page.')
  }

  async #report(text: string, accept: string | undefined): Promise<Page> {
    const host = parseHost(text)
    if (host?.kind !== 'name') throw new BadRequestError('The path does not end in a valid domain name.')
    const { domainReport, clock } = this.#ports
    if (!domainReport) throw new PageNotFoundError('This gateway gives no domain reports.', 'Ask its operator.')
    if (this.#reports >= reportsMax) throw new OverloadedError('domain reports', reportsMax)
    const abort = new AbortController()
    using _timer = clock.schedule(reportMs, () => abort.abort())
    this.#reports++
    try {
      const report = await domainReport(host.name, abort.signal)
      if (wantsHtml(accept)) return html(200, reportPage(report))
      return {
        status: 200,
        fields: ['Content-Type', 'application/json', ...safeFields],
        body: `${JSON.stringify(report, null, 2)}\n`,
      }
    } finally {
      this.#reports--
    }
  }
}

function html(status: number, body: string): Page {
  return { status, fields: ['Content-Type', 'text/html; charset=utf-8', ...safeFields], body }
}

function aboutPage(zone: string): string {
  const name = escapeHtml(zone)
  return htmlPage('Lastmile gateway', [
    '<h1>Lastmile gateway</h1>',
    `<p>Programs of a decentralised cloud answer under <code>&lt;label&gt;.${name}</code>, where the label is the program's hash, and under domains of their owners.</p>`,
    `<p>Something is wrong with your domain? Open <code>${reportPath}<i>your.domain</i></code> here: it lists each record, what was found and what to write.</p>`,
  ])
}

function reportPage(report: DomainReport): string {
  return htmlPage(`${report.host}: ${report.ok ? 'ok' : 'needs work'}`, [
    `<h1>${escapeHtml(report.host)}: ${escapeHtml(report.summary)}</h1>`,
    report.advice ? `<p>${escapeHtml(report.advice)}</p>` : '',
    report.records.length > 0 ? recordTable(report.records) : '',
  ])
}
