import type { Clock } from './clock.ts'
import { systemClock } from './clock.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** Values beside a log line. Never put a requester's address, path, query or header here (docs/ARCHITECTURE.md, invariants). */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>

export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  /** A log that adds `fields` to every line, for example `{ part: 'acme' }`. */
  child(fields: LogFields): Log
}

export interface LogLine {
  level: LogLevel
  message: string
  fields: LogFields
  atMs: number
}

const order: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 }

/** A log that hands each line of at least `level` to `write`. */
export function createLog(write: (line: LogLine) => void, level: LogLevel = 'info', clock: Clock = systemClock): Log {
  const make = (base: LogFields): Log => {
    const at = (lineLevel: LogLevel) => (message: string, fields?: LogFields) => {
      if (order[lineLevel] < order[level]) return
      write({ level: lineLevel, message, fields: { ...base, ...fields }, atMs: clock.nowMs() })
    }
    return {
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      child: (more) => make({ ...base, ...more }),
    }
  }
  return make({})
}

/** Lines for people on a terminal, JSON lines for machines. Both go to standard error: standard output belongs to the command. */
export function stderrLog(
  level: LogLevel = 'info',
  format: 'text' | 'json' = process.stderr.isTTY ? 'text' : 'json',
): Log {
  return createLog((line) => process.stderr.write(`${format === 'json' ? jsonLine(line) : textLine(line)}\n`), level)
}

function jsonLine(line: LogLine): string {
  return JSON.stringify({
    time: new Date(line.atMs).toISOString(),
    level: line.level,
    message: line.message,
    ...line.fields,
  })
}

function textLine(line: LogLine): string {
  const fields = Object.entries(line.fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${value}`)
  return [new Date(line.atMs).toISOString().slice(11, 23), line.level.padEnd(5), line.message, ...fields].join(' ')
}

/** Swallows everything. */
export const silentLog: Log = createLog(() => {})

/** Keeps lines in memory for tests. */
export function memoryLog(): Log & { lines: LogLine[] } {
  const lines: LogLine[] = []
  return Object.assign(
    createLog((line) => lines.push(line), 'debug'),
    { lines },
  )
}
