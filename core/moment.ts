import type { Clock } from './clock.ts'

let inside = false
let monotonicMs = Number.NaN
let nowMs = Number.NaN

/**
 * Runs one piece of synchronous work during which time stands still for clocks made by `momentClock`: a request looks at the time in many
 * places, and each look costs as much as copying a header field. Pieces may not be nested; an inner one is part of the outer.
 */
export function inMoment<T, R>(
  work: (subject: T, count: number, bytes: Buffer) => R,
  subject: T,
  count: number,
  bytes: Buffer,
): R {
  if (inside) return work(subject, count, bytes)
  inside = true
  try {
    return work(subject, count, bytes)
  } finally {
    inside = false
    monotonicMs = Number.NaN
    nowMs = Number.NaN
  }
}

/** The same clock, which within `inMoment` is read once. Outside of it nothing differs. */
export function momentClock(clock: Clock): Clock {
  return {
    nowMs() {
      if (!inside) return clock.nowMs()
      if (Number.isNaN(nowMs)) nowMs = clock.nowMs()
      return nowMs
    },
    monotonicMs() {
      if (!inside) return clock.monotonicMs()
      if (Number.isNaN(monotonicMs)) monotonicMs = clock.monotonicMs()
      return monotonicMs
    },
    sleep: (ms, signal) => clock.sleep(ms, signal),
    schedule: (ms, task) => clock.schedule(ms, task),
  }
}
