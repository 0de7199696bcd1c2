import { gatewayRole } from '../roles/gateway.ts'
import type { Role } from '../roles/role.ts'
import { roleCommand } from './run-role.ts'

export const command = roleCommand(
  gatewayRole as Role,
  'run the public gateway',
  'The gateway needs a zone of its own, addresses under which it is reached, and at least one CCN. See docs/guides/run-a-balancer.md.',
)
