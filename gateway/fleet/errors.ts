import { AppError, type AppErrorOptions } from '../../core/errors.ts'

/** The other process of the gateway ended while its answer was awaited. Safe to try again. */
export class ProcessGoneError extends AppError {
  readonly code = 'GATEWAY_PROCESS_GONE'
  readonly fault = 'ours'
  override readonly status = 503
  constructor(options: AppErrorOptions = {}) {
    super('A process of this gateway ended before it answered.', { hint: 'Try again in a few seconds.', ...options })
  }
}

/** More questions to another process of the gateway are open than are allowed. */
export class ProcessBusyError extends AppError {
  readonly code = 'GATEWAY_PROCESS_BUSY'
  readonly fault = 'ours'
  override readonly status = 503
  constructor(max: number) {
    super(`A process of this gateway has ${max} questions to answer already.`, { hint: 'Try again in a few seconds.' })
  }
}

/** A worker process could not be started. */
export class WorkerStartError extends AppError {
  readonly code = 'GATEWAY_WORKER_START'
  readonly fault = 'ours'
  constructor(what: string, options: AppErrorOptions = {}) {
    super(`The worker process ${what}.`, {
      hint: 'Its last words stand above in the log. With the setting workers = 0 the gateway needs no worker.',
      ...options,
    })
  }
}

/** The new configuration changes something that stays as it is while the gateway runs. Nothing was changed. */
export class ReloadRefusedError extends AppError {
  readonly code = 'GATEWAY_RELOAD_REFUSED'
  readonly fault = 'caller'
  override readonly status = 409
  constructor(keys: readonly string[]) {
    super(`The configuration cannot be reloaded: ${keys.join(', ')} cannot change while the gateway runs.`, {
      hint: 'Restart the gateway to change that, or put back the former value; the rest can be reloaded.',
      details: keys,
    })
  }
}

/** Workers cannot be replaced: this gateway serves in its main process. */
export class NoWorkersError extends AppError {
  readonly code = 'GATEWAY_NO_WORKERS'
  readonly fault = 'caller'
  override readonly status = 409
  constructor() {
    super('This gateway has no worker processes that could be replaced.', {
      hint: 'Set the key "workers" to 1 or more, or restart the gateway.',
    })
  }
}
