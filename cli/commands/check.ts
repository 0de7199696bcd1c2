import type { Command } from '../command.ts'
import { roleNamed } from './explain.ts'
import { configOptions, roleConfig } from './run-role.ts'

export const command: Command = {
  name: 'check',
  summary: 'check a configuration without starting anything',
  positionals: '<role>',
  details: 'Ends with status 0 and one line when the configuration can be used, else with 1 and what is wrong.',
  options: configOptions,
  async run(input) {
    const role = roleNamed(input.positionals[0])
    const { sources } = roleConfig(role, input)
    const given = [...sources.values()].filter((source) => source !== 'default').length
    process.stdout.write(
      `ok: the configuration of "${role.name}" can be used (${given} keys given, ${sources.size - given} by default)\n`,
    )
    return 0
  },
}
