import { crnRole } from '../roles/crn.ts'
import type { Role } from '../roles/role.ts'
import { roleCommand } from './run-role.ts'

export const command = roleCommand(
  crnRole as Role,
  'run a compute resource node (microVM host)',
  'Runs programs in microVMs. "deploy/setup --for crn" builds the guest images first.',
)
