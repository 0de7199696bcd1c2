import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { requestFields, siteName } from '../content.ts'
import { postBytes } from '../workloads.ts'
import type { LoadOrder, LoadResult } from './load.ts'

/** Command line of wrk for an order. The script makes wrk connect to loopback although the URL, and so SNI and Host, hold the site's name. */
export function wrkArguments(order: LoadOrder, folder: string): string[] {
  const script = join(folder, order.post ? 'post.lua' : 'get.lua')
  const post = `wrk.method = 'POST'\nwrk.body = string.sub(string.rep('lastmile ', ${postBytes}), 1, ${postBytes})\n`
  writeFileSync(
    script,
    `function wrk.resolve(host, service)\n  wrk.addrs = wrk.lookup('127.0.0.1', service)\nend\n${order.post ? post : ''}`,
  )
  const fields = [['Host', siteName], ...requestFields, ...(order.close ? [['Connection', 'close']] : [])]
  return [
    '-t1',
    `-c${order.connections}`,
    `-d${wrkSeconds(order.ms)}s`,
    '--latency',
    '--timeout',
    '10s',
    '-s',
    script,
    ...fields.flatMap(([name, value]) => ['-H', `${name}: ${value}`]),
    `${order.scheme === 'plain' ? 'http' : 'https'}://${siteName}:${order.port}${order.path}`,
  ]
}

/** wrk knows whole seconds only. */
export const wrkSeconds = (ms: number): number => Math.max(1, Math.round(ms / 1_000))

/** Reads the summary of wrk. @throws Error when it is none */
export function parseWrk(text: string): LoadResult {
  const total = /(\d+) requests in /.exec(text)?.[1]
  if (total === undefined) throw new Error(`wrk printed no summary: ${text.slice(-500)}`)
  const refused = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0)
  const socketErrors = /Socket errors: (.*)/.exec(text)?.[1]
  const errors = refused + (socketErrors?.match(/\d+/g) ?? []).reduce((sum, count) => sum + Number(count), 0)
  return {
    completed: Number(total) - refused,
    errors,
    p50Ms: latency(text, 50),
    p99Ms: latency(text, 99),
    ...(errors > 0 ? { firstError: socketErrors ?? `${refused} answers were not 2xx or 3xx` } : {}),
  }
}

const unitsMs: Record<string, number> = { us: 0.001, ms: 1, s: 1_000, m: 60_000 }

function latency(text: string, percent: number): number | null {
  const match = new RegExp(`^\\s+${percent}%\\s+([\\d.]+)(us|ms|s|m)$`, 'm').exec(text)
  return match ? Number((Number(match[1]) * (unitsMs[match[2] as string] as number)).toFixed(3)) : null
}
