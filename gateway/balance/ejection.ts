/** How the attempts of a program at one host went lately. */
export interface AttemptRecord {
  failuresInRow: number
  /** Attempts since it came into use. */
  attempts: number
  /** Moving share of attempts that failed. */
  failShare: number
}

export interface EjectionSettings {
  readonly ejectAfter: number
  readonly outlierRequestsMin: number
  readonly outlierFailureShare: number
}

/** An attempt counts this much in `failShare`: about the last twenty matter. */
const attemptShare = 0.05
/** An outlier fails so many times as often as the other hosts. */
const outlierFactor = 3

/** Whether the host is to go out of use after an attempt. @param peersFailShare - mean over the other hosts of the program */
export function planEjection(
  record: Readonly<AttemptRecord>,
  refused: boolean,
  peersFailShare: number,
  settings: EjectionSettings,
): boolean {
  if (refused) return true
  // When the others fail more, as under overload, it is not the host, and to take it out would only burden the others more.
  if (record.failuresInRow >= settings.ejectAfter && record.failShare >= peersFailShare) return true
  if (record.attempts < settings.outlierRequestsMin) return false
  return record.failShare >= Math.max(settings.outlierFailureShare, outlierFactor * peersFailShare)
}

/** Notes one more attempt. */
export function countAttempt(record: AttemptRecord, failed: boolean): void {
  record.attempts++
  record.failuresInRow = failed ? record.failuresInRow + 1 : 0
  record.failShare += attemptShare * ((failed ? 1 : 0) - record.failShare)
}

/** What speaks against the hosts of a program. */
export interface Verdict {
  /** When requests made it suspect, as a number that grows; 0 when they did not. */
  readonly suspected: number
  /** A probe found it down. */
  readonly down: boolean
}

/**
 * Whether a host is out of use, given all hosts of the program. Failed requests are weak evidence (the requests may be what is wrong), so
 * they take out `shareMax` of the hosts at most, one at least, the first suspects first. A failed probe is strong evidence, and counts
 * whatever the share.
 */
export function isOut(hosts: readonly Verdict[], index: number, shareMax: number): boolean {
  const own = hosts[index] as Verdict
  if (own.down) return true
  if (own.suspected === 0) return false
  let outBefore = 0
  for (const host of hosts) if (host.down || (host.suspected > 0 && host.suspected < own.suspected)) outBefore++
  return outBefore < Math.max(1, Math.floor(hosts.length * shareMax))
}

/** Pause before a host may come back, after so many ejections with no good spell between. */
export function ejectionPause(ejections: number, firstMs: number, maxMs: number): number {
  return Math.min(maxMs, firstMs * 2 ** Math.min(20, ejections))
}
