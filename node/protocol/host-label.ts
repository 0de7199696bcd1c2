const alphabet = 'abcdefghijklmnopqrstuvwxyz234567'
const digits = new Map([...alphabet].map((letter, value) => [letter, value]))
const labelChars = 52

/**
 * Turns a message hash into the DNS label that names its program: lower-case RFC 4648 base32 of the 32 bytes, unpadded.
 * @param itemHash - 64 lower-case hex characters
 * @returns 52 characters
 * @throws TypeError when the hash has another form: callers hold vetted hashes
 */
export function encodeHostLabel(itemHash: string): string {
  if (!/^[0-9a-f]{64}$/.test(itemHash)) throw new TypeError(`"${itemHash}" is no 64-hex hash.`)
  let bits = 0n
  for (const digit of itemHash) bits = (bits << 4n) | BigInt(Number.parseInt(digit, 16))
  // 256 bits are 51 letters and one bit: the last letter carries that bit and four zeros.
  bits <<= 4n
  let label = ''
  for (let index = 0; index < labelChars; index++) {
    label = alphabet[Number(bits & 31n)] + label
    bits >>= 5n
  }
  return label
}

/**
 * Reads a host label back. Upper case is accepted; a label whose spare bits are set is not: a hash has exactly one label.
 * @returns 64 lower-case hex characters, or undefined when the text is no hash label
 */
export function decodeHostLabel(label: string): string | undefined {
  if (label.length !== labelChars) return undefined
  let bits = 0n
  for (const letter of label.toLowerCase()) {
    const value = digits.get(letter)
    if (value === undefined) return undefined
    bits = (bits << 5n) | BigInt(value)
  }
  if ((bits & 15n) !== 0n) return undefined
  return (bits >> 4n).toString(16).padStart(64, '0')
}
