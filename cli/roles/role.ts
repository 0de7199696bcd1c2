import type { Clock } from '../../core/clock.ts'
import type { ConfigSchema } from '../../core/config.ts'
import type { Log } from '../../core/log.ts'
import type { Metrics } from '../../core/metrics.ts'
import type { Random } from '../../core/random.ts'

/** What every role gets from the outside. */
export interface RolePorts {
  clock: Clock
  random: Random
  log: Log
  metrics: Metrics
}

/** A role that serves. */
export interface RunningRole extends AsyncDisposable {
  /** What listens where, for people: `{ API: 'http://127.0.0.1:4024' }`. */
  readonly serves: Readonly<Record<string, string>>
  /**
   * Goes on by another configuration of the same role. Absent: the role must be restarted for that.
   * @throws AppError naming what cannot change while it runs; then nothing has changed
   */
  reload?(config: never): Promise<void>
}

/** A way to run this program: its configuration, and how its modules are joined. */
export interface Role<Config = never> {
  readonly name: string
  readonly schema: ConfigSchema
  /** Environment variables of this role start with it. */
  readonly envPrefix: string
  start(config: Config, ports: RolePorts): Promise<RunningRole>
}
