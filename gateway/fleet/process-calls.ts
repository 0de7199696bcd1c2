import type { LogFields, LogLevel } from '../../core/log.ts'
import type { MetricsSnapshot } from '../../core/metrics.ts'
import type { GatewayConfig } from '../config.ts'
import type { DomainReport, HostCandidate, Resolution, SiteCertificate, TicketKeys } from '../ports.ts'
import type { WireError } from './wire-error.ts'
import type { WorkerStatus } from './worker-status.ts'

/** What a worker asks of the primary: the ports of the gateway, each as in `gateway/ports.ts`. */
export interface PrimaryCalls {
  resolve(host: string, signal: AbortSignal): Promise<Resolution>
  hosts(itemHash: string, signal: AbortSignal): Promise<readonly HostCandidate[]>
  block(cid: string, signal: AbortSignal): Promise<Uint8Array>
  domainReport(host: string, signal: AbortSignal): Promise<DomainReport>
  /** One that is ready; never orders. */
  readyCertificate(serverName: string): SiteCertificate | undefined
  obtainCertificate(serverName: string, signal: AbortSignal): Promise<SiteCertificate>
  refusal(serverName: string): Promise<WireError | undefined>
  httpChallenge(challenge: { host: string; token: string }): Promise<string | undefined>
  alpnChallenge(serverName: string): Promise<SiteCertificate | undefined>
  /** Notice: a line of the worker's log. */
  log(line: { level: LogLevel; message: string; fields: LogFields }): void
}

/** What a worker begins with. */
export interface WorkerStart {
  config: GatewayConfig
  ticketKeys: TicketKeys
  /** Whether the primary can report on domains; without it that page does not exist. */
  domainReport: boolean
}

/** What the primary asks of a worker. `start` comes first, once. */
export interface WorkerCalls {
  start(start: WorkerStart): Promise<{ httpPort: number; httpsPort: number }>
  /** Serves by this configuration from now on. What is under way goes on. */
  reconfigure(config: GatewayConfig): Promise<void>
  metrics(nothing: undefined): Promise<MetricsSnapshot>
  status(nothing: undefined): WorkerStatus
  /** Stops listening and lets what is under way finish, for at most so many milliseconds. Answers with the last values of all metrics. */
  drain(drainMs: number): Promise<MetricsSnapshot>
  /** Notice: new keys for session tickets. */
  ticketKeys(keys: TicketKeys): void
  /** Notice: the certificate of a name (or wildcard) has changed. */
  certificateChanged(serverName: string): void
}
