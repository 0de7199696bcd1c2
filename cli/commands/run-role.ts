import { systemClock } from '../../core/clock.ts'
import { loadConfig } from '../../core/config.ts'
import { runUntilStopped } from '../../core/lifecycle.ts'
import { type LogLevel, stderrLog } from '../../core/log.ts'
import { createMetrics } from '../../core/metrics.ts'
import { systemRandom } from '../../core/random.ts'
import { type Command, type CommandInput, UsageError } from '../command.ts'
import { readyMark } from '../dev/role-process.ts'
import { reloadOnHangup } from '../roles/reload-on-hangup.ts'
import type { Role } from '../roles/role.ts'

/** The options that all commands with a configuration share. */
export const configOptions = {
  config: { type: 'string', short: 'c', value: 'file', help: 'configuration file (JSON)' },
  set: { type: 'string', value: 'key=value', help: 'set one key; may be given several times' },
} as const

/** Reads the configuration of a role from `--config`, the environment and `--set`. */
export function roleConfig(role: Role, input: CommandInput) {
  return loadConfig(role.schema, {
    file: input.values.config as string | undefined,
    env: process.env,
    flags: input.set,
    envPrefix: role.envPrefix,
  })
}

/** The command that runs `role` until it is stopped. */
export function roleCommand(role: Role, summary: string, details: string): Command {
  return {
    name: role.name,
    summary,
    details,
    options: {
      ...configOptions,
      'log-level': { type: 'string', value: 'level', help: 'debug, info (default), warn or error' },
    },
    async run(input) {
      const log = stderrLog(logLevel(input.values['log-level']))
      const { config } = roleConfig(role, input)
      const metrics = createMetrics({ defaults: true })
      const ports = { clock: systemClock, random: systemRandom, log: log.child({ role: role.name }), metrics }
      await using stack = new AsyncDisposableStack()
      await runUntilStopped(
        async () => {
          const running = await role.start(config as never, ports)
          const reload = running.reload?.bind(running)
          if (reload) stack.use(reloadOnHangup(() => reload(roleConfig(role, input).config as never), ports.log))
          const places = Object.entries(running.serves).map(([what, where]) => `${what} ${where}`)
          process.stdout.write(`${readyMark} ${role.name} serves ${places.join(', ')}\n`)
          return running
        },
        { onStopping: (why) => log.info(`stopping: ${why}`) },
      )
      return 0
    },
  }
}

function logLevel(value: string | boolean | undefined): LogLevel {
  if (value === undefined) return 'info'
  if (value === 'debug' || value === 'info' || value === 'warn' || value === 'error') return value
  throw new UsageError(`"${value}" is no log level.`, { hint: 'Levels: debug, info, warn, error.' })
}
