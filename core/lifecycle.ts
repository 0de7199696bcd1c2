/**
 * Runs a service until SIGINT or SIGTERM, until the parent closes the IPC channel, or until `signal` aborts; then stops it.
 * A second signal ends the process at once. Resolves after the stop, so the caller may return from `main`.
 */
export async function runUntilStopped(
  start: (signal: AbortSignal) => Promise<AsyncDisposable>,
  options: { signal?: AbortSignal; onStopping?: (why: string) => void } = {},
): Promise<void> {
  const stop = new AbortController()
  const request = (why: string) => () => {
    if (stop.signal.aborted) process.exit(130)
    stop.abort(new StoppedError(why))
  }
  const onInt = request('SIGINT')
  const onTerm = request('SIGTERM')
  // A child that outlives a killed parent would hold ports and files, so a closed channel means stop.
  const onDisconnect = request('parent gone')
  process.on('SIGINT', onInt).on('SIGTERM', onTerm).on('disconnect', onDisconnect)
  options.signal?.addEventListener('abort', () => stop.abort(options.signal?.reason), { once: true })
  try {
    await using _service = await start(stop.signal)
    if (!stop.signal.aborted)
      await new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve()))
    options.onStopping?.(stop.signal.reason instanceof StoppedError ? stop.signal.reason.message : 'aborted')
  } catch (error) {
    if (!(error instanceof StoppedError)) throw error
  } finally {
    process.off('SIGINT', onInt).off('SIGTERM', onTerm).off('disconnect', onDisconnect)
  }
}

/** The reason of the abort signal when a service is asked to stop while it starts. */
export class StoppedError extends Error {
  override readonly name = 'StoppedError'
}

/** Wraps a callback as an `AsyncDisposable`, for stacks. */
export function onDispose(stop: () => Promise<void> | void): AsyncDisposable {
  return { [Symbol.asyncDispose]: async () => void (await stop()) }
}
