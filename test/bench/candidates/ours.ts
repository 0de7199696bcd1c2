import { execFileSync } from 'node:child_process'
import type { GatewaySetup } from '../gateway-program.ts'
import { programFile } from '../site.ts'
import type { Candidate, Place } from './candidate.ts'

/** The gateway of this checkout with every feature on, one worker. */
export const ours: Candidate = { name: 'ours', lacks: [], version: revision, command: gatewayCommand }

/** Sockets, scanners and pools of this checkout with nothing between them: what the features cost is the difference. */
export const bare: Candidate = {
  name: 'bare',
  lacks: [],
  version: revision,
  command: (place) => gatewayCommand(place, 'candidates/bare-program.ts'),
}

/** Commit of the checkout, with `+` when files differ from it. */
export function revision(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  try {
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') === '' ? '' : '+')
  } catch {
    return 'unknown'
  }
}

const nameTtlMs = 60_000

function gatewayCommand(
  { site, httpPort, httpsPort }: Place,
  program = 'gateway-program.ts',
): { command: string; args: string[] } {
  const setup: GatewaySetup = {
    httpPort,
    httpsPort,
    adminPort: 0,
    origins: [`http://127.0.0.1:${site.originPort}`],
    certificateFile: site.certificateFile,
    keyFile: site.keyFile,
    nameTtlMs,
  }
  return { command: process.execPath, args: [programFile(program), JSON.stringify(setup)] }
}
