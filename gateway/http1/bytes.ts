/** Classes of bytes in HTTP/1 messages (RFC 9110 §5.6.2, §5.5; RFC 3986), as tables: one look-up per byte. */

function table(allowed: (byte: number) => number | boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => Number(allowed(byte)))
}

const tokenPunctuation = new Set(Buffer.from("!#$%&'*+-.^_`|~"))

const isUpper = (byte: number): boolean => byte >= 0x41 && byte <= 0x5a
const isLower = (byte: number): boolean => byte >= 0x61 && byte <= 0x7a
const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39

/** For a token character its lower-case form, else 0. */
export const tokenLower = table((byte) =>
  isUpper(byte) ? byte | 0x20 : isLower(byte) || isDigit(byte) || tokenPunctuation.has(byte) ? byte : 0,
)

/** 1 for what a field value may hold: visible ASCII, space, tab, and bytes above 127. CR, LF, NUL and other controls are 0. */
export const inValue = table((byte) => byte === 0x09 || (byte >= 0x20 && byte !== 0x7f))

/** 1 for what a request target may hold: visible ASCII but "#", which begins a fragment and is never sent. */
export const inTarget = table((byte) => byte > 0x20 && byte < 0x7f && byte !== 0x23)

/** Value of a hexadecimal digit, or 255. */
export const hexValue = table((byte) =>
  isDigit(byte)
    ? byte - 0x30
    : (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66 && (isUpper(byte) || isLower(byte))
      ? (byte | 0x20) - 0x57
      : 255,
)

export const CR = 0x0d
export const LF = 0x0a
export const SP = 0x20
export const TAB = 0x09
export const COLON = 0x3a
