import type { Clock } from '../../core/clock.ts'
import type { TimingWheel } from '../../core/timing-wheel.ts'
import type { AppError } from '../../core/errors.ts'
import type { GatewayConfig } from '../config.ts'
import type { Page } from '../error-page.ts'
import type { Connections } from './connections.ts'
import type { Exchange, ExchangeOwner } from '../forward/exchange.ts'

/** The configuration in force. The whole value is replaced on a reload, so what began under one configuration may finish under it. */
export interface Settings {
  config: GatewayConfig
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
