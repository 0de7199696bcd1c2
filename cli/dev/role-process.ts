import { writeFileSync } from 'node:fs'
import { type RunningProcess, startProcess } from '../../core/child-process.ts'
import type { Log } from '../../core/log.ts'

/** A role of the network (CCN, CRN, gateway) in a process of its own, which may be killed and started again. */
export interface RoleProcess extends AsyncDisposable {
  readonly name: string
  readonly pid: number
  /** Everything that its present life has written, at most 64 KiB. */
  output(): string
  /** Ends it as a power cut would: SIGKILL, no clean-up. Resolves when it is gone. */
  kill(): Promise<void>
  /** Starts it again with the same state; resolves when it serves. `change` overrides top-level keys of its configuration, this once. */
  start(change?: Readonly<Record<string, unknown>>): Promise<void>
}

export interface RoleOptions {
  /** What it is called in this network, for example `crn-1`. */
  name: string
  /** Which role it is. */
  role: string
  config: Readonly<Record<string, unknown>>
  configFile: string
  log: Log
}

const main = new URL('../main.ts', import.meta.url).pathname

/** What a role prints on standard output, at the start of a line, once it serves. */
export const readyMark = 'ready:'

/** Writes the configuration to `<configFile>` and starts `lastmile <role> --config <configFile>`. */
export async function startRoleProcess(options: RoleOptions): Promise<RoleProcess> {
  let running: RunningProcess | undefined
  const start = async (change: Readonly<Record<string, unknown>> = {}): Promise<void> => {
    const config = { ...options.config, ...change }
    writeFileSync(options.configFile, `${JSON.stringify(config, undefined, 2)}\n`, { mode: 0o600 })
    running = await startProcess({
      name: options.name,
      command: process.execPath,
      args: [main, options.role, '--config', options.configFile],
      options: { env: { ...process.env, NO_COLOR: '1' } },
      ready: (text) => text.startsWith(readyMark) || text.includes(`\n${readyMark}`),
      readyTimeoutMs: 90_000,
      stopTimeoutMs: 15_000,
      onOutput: (text) => options.log.debug(text.trimEnd(), { role: options.name }),
    })
  }
  await start()
  return {
    name: options.name,
    get pid() {
      return running?.pid ?? 0
    },
    output: () => running?.output() ?? '',
    async kill() {
      running?.child.kill('SIGKILL')
      await running?.exited
    },
    start,
    [Symbol.asyncDispose]: async () => running?.[Symbol.asyncDispose](),
  }
}
