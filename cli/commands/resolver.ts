import { resolverRole } from '../roles/resolver.ts'
import type { Role } from '../roles/role.ts'
import { roleCommand } from './run-role.ts'

export const command = roleCommand(
  resolverRole as Role,
  'run the local DNS resolver that knows .eth',
  "Answers .eth names with the gateway's address and forwards everything else.",
)
