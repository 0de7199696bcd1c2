import type { IpcPort } from './ipc.ts'

interface WithChannel {
  send?(message: never, handle: undefined, options: undefined, done: (error: Error | null) => void): boolean
  on(event: 'message', listener: (message: unknown) => void): unknown
  on(event: 'disconnect', listener: () => void): unknown
}

/** The channel of a forked child, or of this process when it was forked. */
export function processPort(end: WithChannel): IpcPort {
  return {
    // With a callback, a closed channel is reported there instead of as an 'error' event.
    send: (message, done) => void end.send?.(message as never, undefined, undefined, done),
    onMessage: (listener) => void end.on('message', listener),
    onClose: (listener) => void end.on('disconnect', listener),
  }
}
