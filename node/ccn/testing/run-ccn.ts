import { systemClock as clock } from '../../../core/clock.ts'
import { silentLog as log } from '../../../core/log.ts'
import { createMetrics } from '../../../core/metrics.ts'
import { systemRandom as random } from '../../../core/random.ts'
import { openCcnStores, startCcn } from '../ccn.ts'
import { ccnConfigSchema } from '../config.ts'

// A node as a process of its own, for tests that kill it: `node run-ccn.ts <stateDir>` prints its URL.
const stateDir = process.argv[2] as string
const stores = await openCcnStores(stateDir)
const config = ccnConfigSchema.parse({ port: 0, stateDir })
const ccn = await startCcn(config, { ...stores, clock, random, log, metrics: createMetrics() })
process.stdout.write(`${ccn.url}\n`)
