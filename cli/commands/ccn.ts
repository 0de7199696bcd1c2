import { ccnRole } from '../roles/ccn.ts'
import type { Role } from '../roles/role.ts'
import { roleCommand } from './run-role.ts'

export const command = roleCommand(
  ccnRole as Role,
  'run a core channel node (message store)',
  "Keeps signed messages and files in stateDir and serves the network's HTTP API.",
)
