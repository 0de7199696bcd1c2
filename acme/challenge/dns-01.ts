import { createHash } from 'node:crypto'
import type { ChallengeResponder, TxtZone } from '../ports.ts'

/**
 * DNS-01 (RFC 8555 §8.4): a TXT record at `_acme-challenge.<name>`, in a zone that we serve. The only way to a wildcard.
 * @param options.zones - apexes that `zone` serves; names outside are left to other responders
 */
export function createDns01(zone: TxtZone, options: { zones: readonly string[] }): ChallengeResponder {
  return {
    type: 'dns-01',
    covers: (name) => options.zones.some((apex) => name === apex || name.endsWith(`.${apex}`)),
    present: (name, _token, keyAuthorization) => zone.addTxt(`_acme-challenge.${name}`, txtValueOf(keyAuthorization)),
    clean: (name, _token, keyAuthorization) => zone.removeTxt(`_acme-challenge.${name}`, txtValueOf(keyAuthorization)),
  }
}

function txtValueOf(keyAuthorization: string): string {
  return createHash('sha256').update(keyAuthorization).digest('base64url')
}
