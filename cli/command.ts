import { parseArgs } from 'node:util'
import { AppError } from '../core/errors.ts'

/** The command line was not understood. */
export class UsageError extends AppError {
  readonly code = 'CLI_USAGE'
  readonly fault = 'caller'
}

export interface OptionSpec {
  type: 'string' | 'boolean'
  short?: string
  /** How the value is called in the help text. */
  value?: string
  help: string
}

/** One command of the command line: what its help says, and what it does. */
export interface Command {
  name: string
  summary: string
  /** Positional arguments as they stand in the usage line, for example `<folder>`. */
  positionals?: string
  /** More text for `--help`. */
  details?: string
  options: Readonly<Record<string, OptionSpec>>
  /** @returns the exit code */
  run(input: CommandInput): Promise<number>
}

export interface CommandInput {
  values: Readonly<Record<string, string | boolean | undefined>>
  positionals: readonly string[]
  /** `--set key=value`, any number of times. */
  set: Readonly<Record<string, string>>
}

const shared: Record<string, OptionSpec> = { help: { type: 'boolean', short: 'h', help: 'show this text' } }

/** Parses the arguments of a command and runs it. `--help` prints and returns 0. */
export async function runCommand(command: Command, argv: readonly string[]): Promise<number> {
  const options = { ...command.options, ...shared }
  let parsed: { values: Record<string, string | boolean | (string | boolean)[] | undefined>; positionals: string[] }
  try {
    parsed = parseArgs({
      args: [...argv],
      allowPositionals: command.positionals !== undefined,
      options: {
        ...Object.fromEntries(
          Object.entries(options).map(([name, { type, short }]) => [
            name,
            { type, ...(short ? { short } : {}), multiple: name === 'set' },
          ]),
        ),
      },
    })
  } catch (error) {
    throw new UsageError((error as Error).message, { hint: `See "lastmile ${command.name} --help".` })
  }
  if (parsed.values.help) {
    process.stdout.write(helpText(command))
    return 0
  }
  const { set, ...values } = parsed.values
  return command.run({
    values: values as CommandInput['values'],
    positionals: parsed.positionals,
    set: assignments((set ?? []) as string[]),
  })
}

function assignments(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=')
      if (at < 1) throw new UsageError(`"--set ${pair}" must look like --set key=value.`)
      return [pair.slice(0, at), pair.slice(at + 1)]
    }),
  )
}

function helpText(command: Command): string {
  const rows = Object.entries({ ...command.options, ...shared }).map(([name, option]) => {
    const left = `${option.short ? `-${option.short}, ` : ''}--${name}${option.type === 'string' ? ` <${option.value ?? 'value'}>` : ''}`
    return `  ${left.padEnd(28)} ${option.help}`
  })
  const usage = ['lastmile', command.name, command.positionals, '[options]'].filter(Boolean).join(' ')
  return [
    `${command.summary}\n`,
    `Usage: ${usage}\n`,
    'Options:',
    ...rows,
    ...(command.details ? ['', command.details] : []),
    '',
  ].join('\n')
}
