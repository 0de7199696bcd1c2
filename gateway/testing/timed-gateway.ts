import { FakeClock } from '../../core/clock.ts'
import { startTestGateway, type TestGateway } from './test-gateway.ts'

/** A gateway whose time stands still until `clock` moves it. Sites are served on the plain port too; hosts are never probed. */
export interface TimedGateway extends TestGateway {
  clock: FakeClock
}

/** As `startTestGateway`. Disposing moves time on until the stop is over. */
export async function startTimedGateway(config: Record<string, object> = {}): Promise<TimedGateway> {
  const clock = new FakeClock()
  const gateway = await startTestGateway(
    { ...config, listen: { plainSites: true, ...config.listen }, balance: { checkMs: 86_400_000, ...config.balance } },
    { clock },
  )
  const stop = gateway[Symbol.asyncDispose]
  return Object.assign(gateway, {
    clock,
    async [Symbol.asyncDispose]() {
      let over = false
      const stopped = Promise.resolve(stop.call(gateway)).finally(() => {
        over = true
      })
      while (!over) await clock.advance(50)
      await stopped
    },
  })
}
