import type { RequestListener } from 'node:http'
import { type FakeHost, startFakeHost } from './fake-host.ts'
import { startTestGateway, type TestGateway } from './test-gateway.ts'

/** A gateway in front of one host. */
export interface ServedSite extends AsyncDisposable {
  gateway: TestGateway
  host: FakeHost
}

/** Starts a host that answers with `listener`, and a gateway that leads `app.test` to it. The gateway ends first. */
export async function serveSite(listener: RequestListener, config: Record<string, object> = {}): Promise<ServedSite> {
  const host = await startFakeHost(listener)
  const gateway = await startTestGateway(config)
  gateway.hosts.add('one', host.origin)
  return {
    gateway,
    host,
    async [Symbol.asyncDispose]() {
      await gateway[Symbol.asyncDispose]()
      await host[Symbol.asyncDispose]()
    },
  }
}
