import { AppError, describeError } from '../core/errors.ts'
import { type Command, runCommand, UsageError } from './command.ts'

/** Every command, in the order of the help text. Modules load when called, so that each starts fast. */
const commands: Record<string, { summary: string; load: () => Promise<{ command: Command }> }> = {
  dev: {
    summary: 'run a whole network on this machine and publish samples to it',
    load: () => import('./commands/dev.ts'),
  },
  gateway: { summary: 'run the public gateway', load: () => import('./commands/gateway.ts') },
  ccn: { summary: 'run a core channel node (message store)', load: () => import('./commands/ccn.ts') },
  crn: { summary: 'run a compute resource node (microVM host)', load: () => import('./commands/crn.ts') },
  resolver: { summary: 'run the local DNS resolver that knows .eth', load: () => import('./commands/resolver.ts') },
  publish: { summary: 'publish a program or a static site', load: () => import('./commands/publish.ts') },
  domain: { summary: 'check the DNS records of a custom domain', load: () => import('./commands/domain.ts') },
  explain: {
    summary: 'show every configuration key of a role, its value and where that came from',
    load: () => import('./commands/explain.ts'),
  },
  check: { summary: 'check a configuration file without starting anything', load: () => import('./commands/check.ts') },
}

function overview(): string {
  const rows = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`)
  return [
    'Lastmile: the edge of a decentralised cloud.',
    '',
    'Usage: lastmile <command> [options]',
    '',
    ...rows,
    '',
    'Each command has --help.',
    '',
  ].join('\n')
}

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(overview())
    return name === undefined ? 2 : 0
  }
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (!entry)
    throw new UsageError(`There is no command "${name}".`, { hint: `Commands: ${Object.keys(commands).join(', ')}.` })
  return runCommand((await entry.load()).command, rest)
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  const expected = error instanceof AppError
  process.stderr.write(
    `lastmile: ${describeError(error)}\n${expected || !(error instanceof Error) ? '' : `${error.stack}\n`}`,
  )
  process.exitCode = error instanceof UsageError ? 2 : 1
}
