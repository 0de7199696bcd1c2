import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { AppError } from './errors.ts'

/** A helper program ended or stayed silent before it was ready. */
export class ProcessStartError extends AppError {
  readonly code = 'PROCESS_START_FAILED'
  readonly fault = 'ours'
}

export interface ProcessSpec {
  /** Short name for messages. */
  name: string
  command: string
  args?: readonly string[]
  options?: SpawnOptions
  /** Tells from the output so far whether the program serves; or asks it. Absent: ready once spawned. */
  ready?: (output: string) => boolean | Promise<boolean>
  /** Default 30 s. */
  readyTimeoutMs?: number
  /** Linux: the kernel ends the child when this process dies, also by kill -9. Default true. */
  dieWithParent?: boolean
  /** Time between SIGTERM and SIGKILL at a stop. Default 5 s. */
  stopTimeoutMs?: number
  onOutput?: (text: string) => void
}

export interface RunningProcess extends AsyncDisposable {
  readonly pid: number
  readonly child: ChildProcess
  /** The last 64 KiB of standard output and error together. */
  output(): string
  /** Settles when the process has ended, with its exit code or signal. */
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

const outputCharsMax = 65_536

/**
 * Starts a program and waits until it is ready. Disposing sends SIGTERM, then SIGKILL, and waits for the end.
 * @throws ProcessStartError with the program's last words
 */
export async function startProcess(spec: ProcessSpec): Promise<RunningProcess> {
  const guarded = spec.dieWithParent !== false && process.platform === 'linux'
  const [command, args] = guarded
    ? ['setpriv', ['--pdeathsig', 'KILL', '--', spec.command, ...(spec.args ?? [])]]
    : [spec.command, [...(spec.args ?? [])]]
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...spec.options })
  let text = ''
  const take = (chunk: Buffer): void => {
    text = (text + chunk.toString()).slice(-outputCharsMax)
    spec.onOutput?.(chunk.toString())
  }
  child.stdout?.on('data', take)
  child.stderr?.on('data', take)
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('error', (error) => {
      text += `\n${error.message}`
      resolve({ code: 127, signal: null })
    })
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
  let ended = false
  void exited.then(() => {
    ended = true
  })
  const stop = async (): Promise<void> => {
    if (ended) return
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), spec.stopTimeoutMs ?? 5_000)
    await exited
    clearTimeout(timer)
  }
  const startedAt = performance.now()
  const timeoutMs = spec.readyTimeoutMs ?? 30_000
  while (spec.ready && !(await spec.ready(text))) {
    const tooLate = performance.now() - startedAt > timeoutMs
    if (ended || tooLate) {
      await stop()
      const why = tooLate ? `was not ready after ${timeoutMs} ms` : 'ended before it was ready'
      throw new ProcessStartError(`The program "${spec.name}" ${why}.`, {
        hint: `Its last output: ${text.slice(-2_000) || '(none)'}`,
      })
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return { pid: child.pid as number, child, output: () => text, exited, [Symbol.asyncDispose]: stop }
}
