import type { Random } from '../../core/random.ts'

/** Something that takes bytes from outside, with the properties that must hold for every input. */
export interface FuzzTarget {
  readonly name: string
  /** Seconds that one input may take before it counts as hanging. */
  readonly secondsMax: number
  /** Makes an input, from nothing or by damaging one of `seeds`. Must depend on its arguments alone. */
  make(random: Random, seeds: readonly Buffer[]): Buffer
  /**
   * Checks one input.
   * @returns what became of it in a few words: an outcome that no other input had makes an input worth keeping
   * @throws when a property does not hold
   */
  check(input: Buffer): string | Promise<string>
  /** Ends what `check` has started. */
  close?(): Promise<void>
}
