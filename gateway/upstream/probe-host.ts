import type { Clock } from '../../core/clock.ts'
import { releaseBlock, takeBlock } from '../http1/field-block.ts'
import type { HostPools } from './host-pools.ts'
import type { AnswerSink, HostRequest } from './host-stream.ts'

/** True when `GET path` on the host is answered with 2xx in time. Never rejects. */
export function probeHost(
  pools: HostPools,
  clock: Clock,
  options: { origin: string; path: string; timeoutMs: number },
): Promise<boolean> {
  const { origin, path, timeoutMs } = options
  const fields = takeBlock()
  const request: HostRequest = {
    method: 'GET',
    pathPrefix: Buffer.from(path),
    pathStart: 0,
    pathEnd: 0,
    host: new URL(origin).host,
    fields,
    extraLines: Buffer.alloc(0),
    bodyBytes: 0,
    upgrade: undefined,
  }
  return new Promise((resolve) => {
    let serves = false
    const finish = (result: boolean): void => {
      timer[Symbol.dispose]()
      releaseBlock(fields)
      resolve(result)
    }
    const sink: AnswerSink = {
      onInformational() {},
      onAnswer({ status }, _part, last) {
        serves = status >= 200 && status < 300
        if (last) finish(serves)
        return true
      },
      onSwitched: () => finish(false),
      onAnswerBody: () => true,
      onAnswerEnd: () => finish(serves),
      onHostDrain() {},
      onHostFailed: () => finish(false),
    }
    const stream = pools.acquire(origin, sink)
    const timer = clock.schedule(timeoutMs, () => {
      stream?.cancel()
      finish(false)
    })
    if (stream) stream.send(request, undefined, true)
    else finish(false)
  })
}
