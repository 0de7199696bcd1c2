import { describeError } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'

/**
 * Reloads at each SIGHUP, as service managers send it, one after the other. What fails is logged and leaves things as they were.
 * Disposing ends it; then the signal ends the process, as it does by default.
 */
export function reloadOnHangup(reload: () => Promise<void>, log: Log): Disposable {
  let turn = Promise.resolve()
  const onHangup = (): void => {
    turn = turn.then(reload).then(
      () => log.info('configuration read again'),
      (error: unknown) => log.error(`the configuration stays as it was: ${describeError(error)}`),
    )
  }
  process.on('SIGHUP', onHangup)
  return { [Symbol.dispose]: () => void process.off('SIGHUP', onHangup) }
}
