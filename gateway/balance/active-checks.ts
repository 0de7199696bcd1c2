import type { Clock } from '../../core/clock.ts'
import type { Random } from '../../core/random.ts'
import { createCache } from '../recent-cache.ts'
import { ejectionPause } from './ejection.ts'

/** The probe of a host itself, whatever it runs. A site may name a path of its own in place of it. */
export const hostProbe = '/healthz'

/** What has been found by asking one address one question. Programs that share both share it. */
export interface HostCheck {
  readonly origin: string
  readonly probe: string
  /** Failed: the address is out of use for whoever asks this question. */
  down: boolean
  /** Since when it is up, monotonic milliseconds. */
  upSinceMs: number
  failuresInRow: number
  /** Times it went down with no good spell between. */
  ejections: number
  /** Requests complain: one failed probe is enough. */
  suspected: boolean
  /** When a request was last sent there, and when one was last answered. Written by every request. */
  usedAtMs: number
  answeredAtMs: number
  /** When a program that is asked for last had it among its hosts. */
  wantedAtMs: number
  /** When a probe last succeeded. */
  servedAtMs: number
  /** A probe is scheduled or under way. */
  armed: boolean
}

export interface CheckSettings {
  readonly checkMs: number
  readonly checkFailures: number
  readonly checkIdleMs: number
  readonly ejectMs: number
  readonly ejectMaxMs: number
}

/** What becomes of a check whose time has come: a probe, another look later, or nothing until it is used again. */
export type CheckStep = { kind: 'probe' } | { kind: 'wait'; ms: number } | { kind: 'rest' }

/** Decides what to do when a check is due. An address that just answered a request is up; one that nobody uses needs no check. */
export function planCheck(check: Readonly<HostCheck>, nowMs: number, settings: CheckSettings): CheckStep {
  if (nowMs - Math.max(check.usedAtMs, check.wantedAtMs) > settings.checkIdleMs) return { kind: 'rest' }
  if (check.down || check.suspected || check.failuresInRow > 0) return { kind: 'probe' }
  if (nowMs - check.usedAtMs > settings.checkIdleMs) return { kind: 'rest' }
  const answeredMs = nowMs - check.answeredAtMs
  // A site's own question is about more than being up, so that an answer to a request says nothing about it.
  if (check.probe === hostProbe && answeredMs < settings.checkMs)
    return { kind: 'wait', ms: settings.checkMs - answeredMs }
  return { kind: 'probe' }
}

/** Decides what a probe has shown, and when to ask again. */
export function planAfterProbe(
  check: Readonly<HostCheck>,
  served: boolean,
  nowMs: number,
  settings: CheckSettings,
): { down: boolean; failuresInRow: number; ejections: number; pauseMs: number } {
  const { checkMs, checkFailures, ejectMs, ejectMaxMs } = settings
  if (served) {
    const good = !check.down && nowMs - check.upSinceMs > 2 * ejectMaxMs
    return { down: false, failuresInRow: 0, ejections: good ? 0 : check.ejections, pauseMs: checkMs }
  }
  const failuresInRow = check.failuresInRow + 1
  const down = check.down || check.suspected || failuresInRow >= checkFailures
  if (!down) return { down, failuresInRow, ejections: check.ejections, pauseMs: ejectMs }
  const pauseMs = ejectionPause(check.ejections, ejectMs, ejectMaxMs)
  return { down, failuresInRow, ejections: check.ejections + 1, pauseMs }
}

export interface CheckPorts {
  clock: Clock
  random: Random
  /** Asks an address; never throws. */
  probe(origin: string, path: string): Promise<boolean>
  /** A check has gone down or come up. `known`: requests had complained before. */
  onTurn(check: HostCheck, known: boolean): void
}

const checksMax = 20_000
/** Checks of many hosts begun at the same moment drift apart by this share of their interval. */
const jitter = 0.25

/** Probes the addresses that are in use, each with the questions that are asked of it. */
export class ActiveChecks implements Disposable {
  readonly #settings: CheckSettings
  readonly #ports: CheckPorts
  readonly #checks = createCache<string, HostCheck>(checksMax)
  readonly #timers = new Map<HostCheck, Disposable>()
  #stopped = false

  constructor(settings: CheckSettings, ports: CheckPorts) {
    this.#settings = settings
    this.#ports = ports
  }

  /** The one check of this address by this probe. */
  of(origin: string, probe: string): HostCheck {
    const key = `${origin} ${probe}`
    const known = this.#checks.get(key)
    if (known) return known
    const check: HostCheck = {
      origin,
      probe,
      down: false,
      upSinceMs: Number.NEGATIVE_INFINITY,
      failuresInRow: 0,
      ejections: 0,
      suspected: false,
      usedAtMs: Number.NEGATIVE_INFINITY,
      answeredAtMs: Number.NEGATIVE_INFINITY,
      wantedAtMs: Number.NEGATIVE_INFINITY,
      servedAtMs: Number.NEGATIVE_INFINITY,
      armed: false,
    }
    this.#checks.set(key, check)
    return check
  }

  /** A request goes there: from now on it is checked, until it is no longer used. */
  use(check: HostCheck, nowMs: number): void {
    check.usedAtMs = nowMs
    if (!check.armed) this.#arm(check, this.#jittered(this.#settings.checkMs))
  }

  /** A program that is asked for has it among its hosts: one that is down is probed on. */
  want(check: HostCheck, nowMs: number): void {
    check.wantedAtMs = nowMs
    if (check.down && !check.armed) this.#arm(check, 0)
  }

  /** Requests complain of it, so it is probed at once. */
  suspect(check: HostCheck): void {
    if (check.suspected || check.down) return
    check.suspected = true
    const underWay = check.armed && !this.#timers.has(check)
    if (!underWay) this.#arm(check, 0)
  }

  [Symbol.dispose](): void {
    this.#stopped = true
    for (const timer of this.#timers.values()) timer[Symbol.dispose]()
    this.#timers.clear()
  }

  #arm(check: HostCheck, pauseMs: number): void {
    this.#timers.get(check)?.[Symbol.dispose]()
    check.armed = true
    if (this.#stopped) return
    const timer = this.#ports.clock.schedule(pauseMs, () => this.#due(check))
    this.#timers.set(check, timer)
  }

  #due(check: HostCheck): void {
    this.#timers.delete(check)
    const step = planCheck(check, this.#ports.clock.monotonicMs(), this.#settings)
    if (step.kind === 'rest') check.armed = false
    else if (step.kind === 'wait') this.#arm(check, step.ms + this.#lag())
    else void this.#probe(check)
  }

  async #probe(check: HostCheck): Promise<void> {
    const served = await this.#ports.probe(check.origin, check.probe)
    if (this.#stopped) return
    const nowMs = this.#ports.clock.monotonicMs()
    const { down, failuresInRow, ejections, pauseMs } = planAfterProbe(check, served, nowMs, this.#settings)
    const turned = down !== check.down
    const known = check.suspected
    check.down = down
    check.failuresInRow = failuresInRow
    check.ejections = ejections
    check.suspected = false
    if (served) check.servedAtMs = nowMs
    if (turned && !down) check.upSinceMs = nowMs
    this.#arm(check, failuresInRow > 0 ? pauseMs : this.#jittered(pauseMs))
    if (turned) this.#ports.onTurn(check, known)
  }

  #jittered(ms: number): number {
    return ms * (1 - jitter) + this.#lag() * (ms / this.#settings.checkMs)
  }

  #lag(): number {
    return 2 * jitter * this.#settings.checkMs * this.#ports.random.float()
  }
}
