import type { ServedCertificate } from '../ports.ts'
import { readLeaf } from '../x509.ts'
import { wildcardOf } from './names.ts'
import type { CertificateRecord } from './records.ts'

/** A certificate in memory: what is served, and the record behind it. */
export interface HeldCertificate {
  setId: string
  served: ServedCertificate
  record: CertificateRecord
}

/** Certificates by the names they carry. Lookups cost two map reads, and never return one that has expired. */
export class CertificateTable {
  #byName = new Map<string, HeldCertificate>()

  /** @throws Error when the chain cannot be read */
  put(setId: string, record: CertificateRecord): HeldCertificate {
    const { certificatePem, keyPem, notAfterMs } = record
    const held = { setId, record, served: { id: readLeaf(certificatePem).id, certificatePem, keyPem, notAfterMs } }
    for (const name of record.names) {
      const other = this.#byName.get(name)
      const stays = other !== undefined && other.setId !== setId && other.record.notAfterMs > notAfterMs
      if (!stays) this.#byName.set(name, held)
    }
    return held
  }

  remove(held: HeldCertificate): void {
    for (const name of held.record.names) if (this.#byName.get(name) === held) this.#byName.delete(name)
  }

  /** The exact name first, then the wildcard over its first label. */
  find(name: string, nowMs: number): ServedCertificate | undefined {
    for (const key of [name, wildcardOf(name)]) {
      const held = this.#byName.get(key)
      if (held !== undefined && held.record.notAfterMs > nowMs) return held.served
    }
    return undefined
  }
}
