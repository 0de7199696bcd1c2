import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { requestFields, siteName } from '../content.ts'
import { quantile } from '../measure/statistics.ts'
import { streamsPerConnection } from '../workloads.ts'
import type { LoadOrder, LoadResult } from './load.ts'

/** Where h2load writes one line for each request; percentiles come from there. */
export const h2loadLog = (folder: string): string => join(folder, 'h2load.log')

/** Command line of h2load for an order. */
export function h2loadArguments(order: LoadOrder, folder: string): string[] {
  return [
    '-D',
    String(h2loadSeconds(order.ms)),
    '-t1',
    `-c${order.connections}`,
    `-m${streamsPerConnection}`,
    `--connect-to=127.0.0.1:${order.port}`,
    `--log-file=${h2loadLog(folder)}`,
    ...requestFields.flatMap(([name, value]) => ['-H', `${name.toLowerCase()}: ${value}`]),
    `https://${siteName}${order.path}`,
  ]
}

/** h2load knows whole seconds only. */
export const h2loadSeconds = (ms: number): number => Math.max(1, Math.round(ms / 1_000))

/** Reads the summary of h2load and its log. @throws Error when it spoke another protocol than h2, or printed no summary */
export function parseH2load(text: string, folder: string): LoadResult {
  const counts = /(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(text)
  const ok = /status codes: (\d+) 2xx/.exec(text)?.[1]
  if (!counts || ok === undefined) throw new Error(`h2load printed no summary: ${text.slice(-500)}`)
  if (!/Application protocol: h2\b/.test(text)) throw new Error('The proxy does not speak HTTP/2.')
  const completed = Number(ok)
  const errors = Number(counts[2]) + Math.max(0, Number(counts[1]) - completed)
  const latencies = readFileSync(h2loadLog(folder), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => Number(line.split('\t')[2]) / 1_000)
  const at = (share: number): number | null =>
    latencies.length === 0 ? null : Number(quantile(latencies, share).toFixed(3))
  return {
    completed,
    errors,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    ...(errors > 0 ? { firstError: counts[0] } : {}),
  }
}
