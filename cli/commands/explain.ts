import { describeConfig } from '../../core/config.ts'
import { type Command, UsageError } from '../command.ts'
import type { Role } from '../roles/role.ts'
import { roles } from '../roles/roles.ts'
import { configOptions, roleConfig } from './run-role.ts'

export const command: Command = {
  name: 'explain',
  summary: 'show every configuration key of a role, its value and where that came from',
  positionals: '<role>',
  details: 'A value comes from a flag, an environment variable, the file, or the default, in this order of strength.',
  options: { ...configOptions, json: { type: 'boolean', help: 'print one JSON object' } },
  async run(input) {
    const role = roleNamed(input.positionals[0])
    const { config, sources } = roleConfig(role, input)
    const rows = describeConfig(role.schema).map((leaf) => ({
      key: leaf.key,
      value: valueAt(config, leaf.key),
      source: sources.get(leaf.key) ?? 'default',
      description: leaf.description,
    }))
    if (input.values.json) process.stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`)
    else
      for (const row of rows)
        process.stdout.write(`${row.key} = ${show(row.key, row.value)}  (${row.source})\n    ${row.description}\n`)
    return 0
  },
}

/** The role called `name`. @throws UsageError that lists the roles */
export function roleNamed(name: string | undefined): Role {
  const role = name !== undefined && Object.hasOwn(roles, name) ? roles[name] : undefined
  if (role) return role
  throw new UsageError(name === undefined ? 'Name a role.' : `There is no role "${name}".`, {
    hint: `Roles: ${Object.keys(roles).join(', ')}.`,
  })
}

function valueAt(config: unknown, key: string): unknown {
  return key.split('.').reduce<unknown>((node, name) => (node as Record<string, unknown> | undefined)?.[name], config)
}

/** Keys and tokens are not for screens or bug reports. */
function show(key: string, value: unknown): string {
  return /token|secret|mackey|privatekey/i.test(key) && value !== undefined
    ? '(hidden)'
    : (JSON.stringify(value) ?? '(none)')
}
