import type { Clock } from '../../core/clock.ts'
import { AcmeClient } from '../client/client.ts'
import { createAccountJwk, openAccountKey } from '../client/jws.ts'
import { AcmeSession } from '../client/session.ts'
import { createTransport } from '../client/transport.ts'
import type { AcmeConfig } from '../config.ts'
import { OrderedElsewhereError } from '../errors.ts'
import type { AcmeMetrics } from '../metrics.ts'
import { keepLock } from './lock.ts'
import type { Records } from './records.ts'

/**
 * A client for the configured CA with the account key of the store, which is made at first use. Asks the CA nothing yet: a CA
 * that is away must not keep a gateway with good certificates from starting.
 */
export async function openClient(
  config: AcmeConfig,
  ports: { records: Records; clock: Clock; metrics: AcmeMetrics; signal: AbortSignal },
): Promise<{ client: AcmeClient } & Disposable> {
  const transport = await createTransport(config)
  const { directoryUrl, retryAfterMsMax } = config
  const { requests, clockOffset } = ports.metrics
  const session = new AcmeSession({
    directoryUrl,
    transport,
    clock: ports.clock,
    retryAfterMsMax,
    requests,
    clockOffset,
  })
  const key = await openAccountKey(await accountJwk(config, ports))
  return { client: new AcmeClient(session, key, config), [Symbol.dispose]: () => transport[Symbol.dispose]() }
}

const accountId = 'default'
const attemptsMax = 50

/** The key in the store, or a new one. Under a lock, so that instances that start together share one account. */
async function accountJwk(config: AcmeConfig, ports: { records: Records; clock: Clock; signal: AbortSignal }) {
  const { records, clock, signal } = ports
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    const known = await records.read('account', accountId)
    if (known !== undefined) return known.privateJwk
    const lock = await records.lock('account', accountId, config.lockHoldMs)
    if (lock !== undefined) {
      await using held = keepLock(lock, records, { holdMs: config.lockHoldMs, clock })
      const made = (await records.read('account', accountId)) ?? { privateJwk: await createAccountJwk() }
      await records.write('account', accountId, made as { privateJwk: { kty: 'EC'; d: string } }, held.lock)
      return made.privateJwk
    }
    await clock.sleep(config.lockHoldMs / 10, signal)
  }
  throw new OrderedElsewhereError(['the account'])
}
