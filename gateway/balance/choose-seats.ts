import type { HostCandidate } from '../ports.ts'

/** Hosts that a program keeps at hand. More would make each choice dearer and no better: these are more than any request tries. */
export const seatsMax = 64
const coldSeatsMax = 32

/** What is known of a listed host besides. */
export interface CandidateStanding {
  /** Rendezvous rank for the program. */
  rank: number
  /** In the zone of this gateway, or zones do not matter. */
  near: boolean
  /** Down, draining or full now: not worth a seat while others are left. */
  unusable: boolean
  /** Answered the program lately, or said that it is full: must not be forgotten. */
  remembered: boolean
}

/**
 * Which of the listed hosts a program keeps at hand: all when they are few, else those that run it or are remembered, by uptime, and the
 * first in rank among cold ones of the best uptimes, the own zone first. A network lists hundreds of hosts, and a program runs on a few.
 */
export function chooseSeats(
  listed: readonly HostCandidate[],
  standing: (candidate: HostCandidate) => CandidateStanding,
  uptimeMargin: number,
): readonly HostCandidate[] {
  if (listed.length <= seatsMax) return listed
  const all = listed.map((candidate) => ({ candidate, ...standing(candidate) }))
  const known = all
    .filter(({ candidate, remembered }) => candidate.running || remembered)
    .sort((a, b) => Number(a.unusable) - Number(b.unusable) || b.candidate.uptime - a.candidate.uptime)
    .slice(0, seatsMax - coldSeatsMax)
  const others = all.filter(({ candidate, remembered, unusable }) => !candidate.running && !remembered && !unusable)
  const best = others.reduce((most, { candidate }) => Math.max(most, candidate.uptime), 0)
  const colds = others
    .map((entry) => ({ ...entry, equal: best - entry.candidate.uptime <= uptimeMargin }))
    .sort(
      (a, b) =>
        Number(b.near) - Number(a.near) ||
        Number(b.equal) - Number(a.equal) ||
        (a.equal ? b.rank - a.rank : b.candidate.uptime - a.candidate.uptime) ||
        (a.candidate.id < b.candidate.id ? -1 : 1),
    )
    .slice(0, coldSeatsMax)
  return [...known, ...colds].map(({ candidate }) => candidate)
}
