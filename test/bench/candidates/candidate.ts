import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Program, startProgram } from '../programs.ts'
import { programFile, type Site, servesPort } from '../site.ts'
import { uniquePort } from '../unique-port.ts'
import type { WorkloadName } from '../workloads.ts'

/** Where a candidate listens, and what it may write to. */
export interface Place {
  site: Site
  folder: string
  httpPort: number
  httpsPort: number
}

/** A proxy that can be measured. */
export interface Candidate {
  name: string
  /** What is printed; undefined when it is not installed. */
  version(): string | undefined
  /** Workloads that it cannot do. */
  lacks: readonly WorkloadName[]
  command(place: Place): { command: string; args: readonly string[]; env?: Record<string, string> }
}

export interface RunningCandidate extends AsyncDisposable {
  candidate: Candidate
  pid: number
  httpPort: number
  httpsPort: number
  /** The last of what it printed. */
  output(): string
}

/** Starts a candidate on free ports, alone on its core. Resolves when its own processes listen on both. */
export async function startCandidate(candidate: Candidate, site: Site): Promise<RunningCandidate> {
  const [httpPort, httpsPort] = [await uniquePort(), await uniquePort()]
  const folder = join(site.folder, `${candidate.name}-${httpPort}`)
  mkdirSync(folder)
  const program: Program = await startProgram({
    ...candidate.command({ site, folder, httpPort, httpsPort }),
    name: candidate.name,
    side: 'proxy',
    ready: servesPort(httpPort, httpsPort),
  })
  return {
    candidate,
    pid: program.pid,
    httpPort,
    httpsPort,
    output: program.output,
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  }
}

/** The one argument of candidates that are programs of ours: JSON of this. */
export interface NodeProxySetup {
  httpPort: number
  httpsPort: number
  originPort: number
  certificateFile: string
  keyFile: string
}

/** Runs a program of this folder with its set-up as argument. */
export function nodeProxy(file: string, { site, httpPort, httpsPort }: Place): { command: string; args: string[] } {
  const { originPort, certificateFile, keyFile } = site
  const setup: NodeProxySetup = { httpPort, httpsPort, originPort, certificateFile, keyFile }
  return { command: process.execPath, args: [programFile(`candidates/${file}`), JSON.stringify(setup)] }
}
