import type { EnsRecords, EnsSource } from '../ports.ts'
import { normalizeEnsName } from './normalize-name.ts'

/** An ENS source over a fixed table, for tests and for running without a chain. Keys are normalised names. */
export function createEnsTable(table: Readonly<Record<string, EnsRecords>>): EnsSource {
  return {
    records: async (name, signal) => {
      signal.throwIfAborted()
      const normalized = normalizeEnsName(name)
      return Object.hasOwn(table, normalized) ? table[normalized] : undefined
    },
  }
}
