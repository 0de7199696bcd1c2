import type { MetricsSnapshot } from '../../core/metrics.ts'
import type { GatewayConfig } from '../config.ts'
import type { WorkerReport } from './gateway-status.ts'

/** The data plane of a gateway, in processes of its own or inside this one. Disposing drains for up to `timeouts.drainMs`. */
export interface Workers extends AsyncDisposable {
  readonly httpPort: number
  readonly httpsPort: number
  /** False when no worker takes connections. */
  readonly serving: boolean
  /** Asks every worker how it stands; takes a bounded time, whatever a worker does. */
  reports(): Promise<readonly WorkerReport[]>
  /** The metrics of other processes, those that have ended included; to be shown with our own. Takes a bounded time. */
  metrics(): Promise<readonly MetricsSnapshot[]>
  /** Resolves when every worker serves by the new configuration. No connection is touched. */
  reconfigure(config: GatewayConfig): Promise<void>
  /**
   * Replaces every worker by a new process: the new one listens before the old one stops. Resolves when the last old one has ended.
   * @throws NoWorkersError when there are no processes to replace
   */
  recycle(): Promise<void>
}
