import { type SiteOptions, siteOptionsSchema } from '../guard/config.ts'

/**
 * What is configured for each site. Immutable: a reload builds a new table and swaps it whole, so that a request sees one configuration from
 * its beginning to its end. The options of one pattern are one frozen object, which may serve as a key.
 */
export class SiteOptionsTable {
  readonly #exact = new Map<string, SiteOptions>()
  /** By the name after `*.`. */
  readonly #under = new Map<string, SiteOptions>()
  /** For names that no pattern covers. */
  readonly default: SiteOptions

  /** @param sites - patterns as configured: a host name, `*.name`, or `*` */
  constructor(sites: Readonly<Record<string, SiteOptions>>) {
    let fallback: SiteOptions = siteOptionsSchema.parse({})
    for (const [pattern, options] of Object.entries(sites)) {
      const frozen = Object.freeze({ ...options })
      if (pattern === '*') fallback = frozen
      else if (pattern.startsWith('*.')) this.#under.set(pattern.slice(2), frozen)
      else this.#exact.set(pattern, frozen)
    }
    this.default = Object.freeze(fallback)
  }

  /**
   * The options of a site: those of its own name, else of the longest `*.name` above it, else of `*`. They do not add up: the most exact
   * pattern counts alone.
   * @param host - lower case, without port and final dot
   */
  optionsFor(host: string): SiteOptions {
    const own = this.#exact.get(host)
    if (own !== undefined) return own
    if (this.#under.size === 0) return this.default
    for (let dot = host.indexOf('.'); dot >= 0; dot = host.indexOf('.', dot + 1)) {
      const above = this.#under.get(host.slice(dot + 1))
      if (above !== undefined) return above
    }
    return this.default
  }

  /** Whether any site has what `test` asks for, so that what no site needs need not be set up. */
  some(test: (options: SiteOptions) => boolean): boolean {
    return test(this.default) || this.#exact.values().some(test) || this.#under.values().some(test)
  }
}
