import { rmSync } from 'node:fs'
import { findProgram, firstLine, runProgram } from '../programs.ts'
import { programFile } from '../site.ts'
import type { Workload } from '../workloads.ts'
import { h2loadArguments, h2loadLog, h2loadSeconds, parseH2load } from './h2load.ts'
import type { LoadOrder, LoadResult } from './load.ts'
import { parseWrk, wrkArguments, wrkSeconds } from './wrk.ts'

/** Beyond its own duration a generator may take this long, then it is killed: some hang on streams that never finish. */
const graceMs = 15_000

export interface LoadOptions {
  httpPort: number
  httpsPort: number
  ms: number
  /** For scripts and logs of generators. */
  folder: string
  /** Our own generators even where wrk or h2load are installed. */
  ownLoad: boolean
}

/** Puts the workload on a proxy for a while, from a process of its own. @throws Error when the generator fails or hangs */
export async function runLoad(workload: Workload, options: LoadOptions): Promise<LoadResult> {
  const order: LoadOrder = {
    port: workload.scheme === 'plain' ? options.httpPort : options.httpsPort,
    scheme: workload.scheme,
    path: workload.path,
    connections: workload.connections,
    ms: options.ms,
    post: workload.name === 'post16k',
    close: workload.name === 'newconn',
    resume: workload.name === 'handshake-resumed',
  }
  const generator = generatorOf(workload, options.ownLoad)
  if (generator === 'wrk') {
    const args = wrkArguments(order, options.folder)
    return parseWrk(await run('wrk', findProgram('wrk') as string, args, wrkSeconds(order.ms) * 1_000))
  }
  if (generator === 'h2load') {
    rmSync(h2loadLog(options.folder), { force: true })
    const args = h2loadArguments(order, options.folder)
    const text = await run('h2load', findProgram('h2load') as string, args, h2loadSeconds(order.ms) * 1_000)
    return parseH2load(text, options.folder)
  }
  const args = [programFile(`generators/${generator}`), JSON.stringify(order)]
  return JSON.parse(await run(generator, process.execPath, args, order.ms)) as LoadResult
}

/** What makes the load: a program of the distribution where that is installed and can do it, else one of ours. */
export function generatorOf(workload: Workload, ownLoad: boolean): string {
  if (workload.name.startsWith('handshake')) return 'handshake-load.ts'
  if (workload.name === 'websocket') return 'websocket-load.ts'
  if (workload.name === 'idle') return 'idle-load.ts'
  const [theirs, own] = workload.scheme === 'h2' ? ['h2load', 'http2-load.ts'] : ['wrk', 'http1-load.ts']
  return !ownLoad && findProgram(theirs as string) ? (theirs as string) : (own as string)
}

/** Versions of the distribution's generators that are installed. */
export function generatorVersions(): Record<string, string> {
  const versions: Record<string, string> = {}
  const wrk = findProgram('wrk')
  if (wrk) versions.wrk = /^wrk (\S+)/.exec(firstLine(wrk, ['-v']))?.[1] ?? 'unknown'
  const h2load = findProgram('h2load')
  if (h2load) versions.h2load = /nghttp2\/(\S+)/.exec(firstLine(h2load, ['--version']))?.[1] ?? 'unknown'
  return versions
}

const run = (name: string, command: string, args: readonly string[], ms: number): Promise<string> =>
  runProgram({ name, command, args, side: 'load' }, ms + graceMs)
