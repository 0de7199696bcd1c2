import { spawn } from 'node:child_process'

/**
 * Runs a program to its end and returns its standard output.
 * @throws Error with the program's last words when it fails
 */
export function runProgram(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    let out = ''
    let all = ''
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk
      all += chunk
    })
    child.stderr.on('data', (chunk: Buffer) => {
      all += chunk
    })
    child.on('error', (cause) =>
      reject(new Error(`${command} cannot be run: ${cause.message}. Install the package that has it.`, { cause })),
    )
    child.on('close', (code, signal) => {
      if (code === 0) resolve(out)
      else reject(new Error(`${command} ${args.join(' ')} ended with ${signal ?? code}:\n${all.slice(-3_000)}`))
    })
  })
}
