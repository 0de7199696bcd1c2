/** A 32-bit hash of a text: FNV-1a with a final mix. Evenness matters here, not secrecy. */
export function hashText(text: string): number {
  let state = 0x811c9dc5
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193)
  return mix(state)
}

/**
 * Rank of a host for a key by rendezvous hashing: the same everywhere, spread evenly over hosts, and when a host comes or goes only the
 * keys that it wins or had are moved.
 *
 * @param key - hash of the key
 * @param host - hash of the host's id
 * @returns 0 to 2^32-1; the highest rank wins
 */
export function rendezvousRank(key: number, host: number): number {
  return mix(Math.imul(key, 0x9e3779b1) ^ host)
}

/**
 * The rank as a score that respects weights: a host of twice the weight wins twice the keys, and a change of one host's weight moves keys
 * only from it or to it.
 *
 * @param weight - above 0
 * @see Schindelhauer and Schomaker, "Weighted distributed hash tables" (logarithmic method)
 */
export function rendezvousScore(rank: number, weight: number): number {
  return -weight / Math.log((rank + 0.5) / 0x1_0000_0000)
}

/** Finaliser of MurmurHash3: each bit of the input reaches each bit of the result. */
function mix(value: number): number {
  let state = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35)
  return (state ^ (state >>> 16)) >>> 0
}
