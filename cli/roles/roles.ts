import { ccnRole } from './ccn.ts'
import { crnRole } from './crn.ts'
import { gatewayRole } from './gateway.ts'
import { resolverRole } from './resolver.ts'
import type { Role } from './role.ts'

/** Every role by its command. */
export const roles: Readonly<Record<string, Role>> = {
  gateway: gatewayRole as Role,
  ccn: ccnRole as Role,
  crn: crnRole as Role,
  resolver: resolverRole as Role,
}
