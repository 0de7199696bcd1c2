import type { Clock } from '../../core/clock.ts'
import type { AppError } from '../../core/errors.ts'
import type { TimingWheel } from '../../core/timing-wheel.ts'
import type { CompressionRules } from '../compress/plan-compression.ts'
import type { GatewayConfig } from '../config.ts'
import type { Page } from '../error-page.ts'
import type { Exchange, ExchangeOwner } from '../forward/exchange.ts'
import { AddressSet } from '../guard/address-set.ts'
import type { SiteOptions } from '../guard/config.ts'
import { SiteOptionsTable } from '../route/site-options.ts'
import type { Connections } from './connections.ts'

/** The configuration in force, with what is derived from it. A reload replaces every value whole; none is changed. */
export interface Settings {
  config: GatewayConfig
  sites: SiteOptionsTable
  /** The proxies before this gateway. */
  trust: AddressSet
  /** How the answers of a site are compressed, by its option; undefined for not at all. */
  compression: Record<SiteOptions['compress'], CompressionRules | undefined>
}

/** What is derived from a configuration. */
export function settingsOf(config: GatewayConfig): Settings {
  const { enabled, minBytes } = config.compression
  const rules = (mode: 'public' | 'all') => (enabled ? { mode, minBytes } : undefined)
  return {
    config,
    sites: new SiteOptionsTable(config.sites),
    trust: AddressSet.parse(config.trust.addresses),
    compression: { off: undefined, public: rules('public'), all: rules('all') },
  }
}

/** What a listener's connections need: shared by all of one listener. */
export interface ListenContext {
  readonly settings: Settings
  readonly clock: Clock
  readonly wheel: TimingWheel
  /** Hears of exchanges that ended. */
  readonly owner: ExchangeOwner
  /** Every connection joins while it is open. */
  readonly connections: Connections
  /** Answers an exchange. Never throws. */
  handle(exchange: Exchange): void
  /** The page for a request whose head could not be read; also counts it. */
  refuse(error: AppError): Page
}
