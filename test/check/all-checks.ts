import { balanceChecks } from './checks/balance-checks.ts'
import { domainChecks } from './checks/domain-checks.ts'
import { operationsChecks } from './checks/operations-checks.ts'
import { publishChecks } from './checks/publish-checks.ts'
import { staticChecks } from './checks/static-checks.ts'
import { streamChecks } from './checks/stream-checks.ts'
import { timingChecks } from './checks/timing-checks.ts'
import type { Check } from './run-checks.ts'
import type { World } from './world.ts'

/** Every check, in the order in which they build on each other. */
export const allChecks: readonly Check<World>[] = [
  ...publishChecks,
  ...domainChecks,
  ...staticChecks,
  ...streamChecks,
  ...balanceChecks,
  ...timingChecks,
  ...operationsChecks,
]
