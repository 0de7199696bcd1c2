import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release } from 'node:os'

/** The ticks of all cores so far, from `/proc/stat`: all of them, and those that the hypervisor gave to others. */
export interface Ticks {
  all: number
  stolen: number
}

export function readTicks(text = readFileSync('/proc/stat', 'utf8')): Ticks {
  // user nice system idle iowait irq softirq steal; guest time is part of user time.
  const fields = text.split('\n', 1)[0]?.trim().split(/\s+/).slice(1, 9).map(Number) ?? []
  return { all: fields.reduce((sum, ticks) => sum + ticks, 0), stolen: fields[7] ?? 0 }
}

/** Share of the time between two readings that was stolen, in percent. */
export function stealPercent(before: Ticks, after: Ticks): number {
  const all = after.all - before.all
  return all <= 0 ? 0 : Number((((after.stolen - before.stolen) / all) * 100).toFixed(2))
}

export const loadAverage = (): number => Number((loadavg()[0] ?? 0).toFixed(2))

/** What the figures belong to. */
export function describeHardware(): { cpu: string; cores: number; kernel: string; node: string } {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    kernel: release(),
    node: process.version,
  }
}
