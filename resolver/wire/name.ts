/**
 * A domain name as its uncompressed wire form: length byte and label, repeated, then the zero byte. 1 to 255 bytes.
 * Bytes, not text: a label may hold any byte, a dot included, and two different names must never look alike.
 */
export type WireName = Buffer

export const nameBytesMax = 255
export const labelBytesMax = 63

export const rootName: WireName = Buffer.from([0])

/**
 * Reads a name in presentation form. `\.` and `\DDD` escape bytes; a final dot is optional; non-ASCII text is refused, since
 * which A-label it means is the caller's decision.
 * @returns undefined when a label is empty or over 63 bytes, or the name over 255
 * @see RFC 1035 §2.3.4, §5.1
 */
export function nameFromText(text: string): WireName | undefined {
  if (text === '' || text === '.') return text === '.' ? rootName : undefined
  const out = Buffer.alloc(nameBytesMax)
  let labelStart = 0
  let end = 1
  for (let index = 0; index < text.length; index++) {
    let byte = text.charCodeAt(index)
    if (byte === 0x2e) {
      const size = end - labelStart - 1
      if (size === 0 || size > labelBytesMax || end >= nameBytesMax) return undefined
      out[labelStart] = size
      labelStart = end++
      continue
    }
    let byteMax = 0x7f
    if (byte === 0x5c) {
      const digits = /^\d{3}/.exec(text.slice(index + 1, index + 4))?.[0]
      byte = digits === undefined ? text.charCodeAt(index + 1) : Number(digits)
      if (digits !== undefined) byteMax = 0xff
      index += digits?.length ?? 1
    }
    // Written so that NaN (a backslash at the end) is refused as well.
    if (!(byte <= byteMax) || end >= nameBytesMax) return undefined
    out[end++] = byte
  }
  const size = end - labelStart - 1
  if (size > labelBytesMax) return undefined
  out[labelStart] = size
  if (size === 0) return out.subarray(0, end)
  return end >= nameBytesMax ? undefined : out.subarray(0, end + 1)
}

/** The name's labels in wire order, without the root. */
export function nameLabels(name: WireName): Buffer[] {
  const labels: Buffer[] = []
  for (let at = 0; name[at] !== 0; at += (name[at] as number) + 1) {
    labels.push(name.subarray(at + 1, at + 1 + (name[at] as number)))
  }
  return labels
}

/** Presentation form without the final dot, case kept; the root is `.`. Bytes outside printable ASCII become `\DDD`. */
export function nameToText(name: WireName): string {
  const labels = nameLabels(name)
  return labels.length === 0 ? '.' : labels.map(labelToText).join('.')
}

function labelToText(label: Buffer): string {
  let text = ''
  for (const byte of label) {
    if (byte === 0x2e || byte === 0x5c) text += `\\${String.fromCharCode(byte)}`
    else if (byte > 0x20 && byte < 0x7f) text += String.fromCharCode(byte)
    else text += `\\${String(byte).padStart(3, '0')}`
  }
  return text
}

/** A key under which equal names (ASCII case apart, RFC 4343) meet in a map. */
export function nameKey(name: WireName): string {
  return lowerName(name).toString('latin1')
}

/** The same name with ASCII letters in lower case. Length bytes are at most 63, below `A`, so all bytes may be mapped alike. */
export function lowerName(name: WireName): WireName {
  const out = Buffer.from(name)
  for (let index = 0; index < out.length; index++) {
    const byte = out[index] as number
    if (byte >= 0x41 && byte <= 0x5a) out[index] = byte | 0x20
  }
  return out
}

/** The name without its first label; the root is its own parent. */
export function parentName(name: WireName): WireName {
  return name[0] === 0 ? name : name.subarray((name[0] as number) + 1)
}
