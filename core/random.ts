import { randomBytes } from 'node:crypto'

/** Randomness as a value from outside. `bytes` must be unpredictable in production: keys, tokens and DNS ids come from it. */
export interface Random {
  bytes(count: number): Uint8Array
  /** Uniform in [0, 1). For jitter and choices, never for secrets. */
  float(): number
}

export const systemRandom: Random = {
  bytes: (count) => new Uint8Array(randomBytes(count)),
  float: () => Math.random(),
}

/** Deterministic randomness for tests (mulberry32). Print the seed when a test fails. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const float = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000
  }
  return { float, bytes: (count) => Uint8Array.from({ length: count }, () => Math.floor(float() * 256)) }
}
