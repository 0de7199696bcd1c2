import { domainToASCII, domainToUnicode } from 'node:url'
import { EnsNameInvalidError } from '../errors.ts'
import { normalize } from './viem-codec.ts'

/** Bytes of one label and of the whole name: beyond these ENS has no wire form. */
const labelBytesMax = 255
const nameBytesMax = 1_024
/** Labels of a name; each costs one call to find its owner. */
const labelsMax = 12

/**
 * Checks and normalises a name, once: the result is what is hashed and what is sent. Labels in A-label form (`xn--`) are read back first,
 * and a name that browsers and ENSIP-15 spell differently is refused rather than guessed.
 * @throws EnsNameInvalidError
 */
export function normalizeEnsName(name: string): string {
  const labels = name.split('.')
  if (labels.length > labelsMax || Buffer.byteLength(name) > nameBytesMax) {
    throw invalid(name, `it has more than ${labelsMax} labels or ${nameBytesMax} bytes`)
  }
  if (labels.some((label) => label === '' || Buffer.byteLength(label) > labelBytesMax))
    throw invalid(name, 'a label is empty or too long')
  // ensjs and viem take [<hash>] for an unknown label; nobody may pick a label by its hash.
  if (/[[\]]/.test(name)) throw invalid(name, 'brackets cannot stand in a name')
  try {
    return normalize(labels.map(fromALabel).join('.'))
  } catch (cause) {
    throw invalid(name, `ENSIP-15 refuses it: ${(cause as Error).message.slice(0, 120)}`, cause)
  }
}

function fromALabel(label: string): string {
  if (!label.startsWith('xn--')) return label
  const unicode = domainToUnicode(label)
  if (unicode === '' || domainToASCII(unicode) !== label) throw new RangeError('malformed punycode')
  return unicode
}

function invalid(name: string, why: string, cause?: unknown): EnsNameInvalidError {
  const shown = name.length > 100 ? `${name.slice(0, 100)}...` : name
  return new EnsNameInvalidError(`"${shown}" cannot be an ENS name: ${why}.`, {
    hint: 'Write the name as the ENS app shows it, in lower case.',
    ...(cause === undefined ? {} : { cause }),
  })
}
