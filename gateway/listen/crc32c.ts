/** One step of CRC-32C for every byte value: 1 KiB, made once. The polynomial is 0x1EDC6F41, bits reversed. */
const table = new Int32Array(256)
for (let byte = 0; byte < 256; byte++) {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = (value & 1) === 0 ? value >>> 1 : (value >>> 1) ^ 0x82f63b78
  table[byte] = value
}

/**
 * CRC-32C (Castagnoli) of `bytes[start, end)`, with the four bytes from `zeroedAt` counted as zeros: the checksum stands in what it covers.
 * @param zeroedAt - -1 for none
 * @returns an unsigned 32-bit number
 * @see RFC 9260 appendix A
 */
export function crc32c(bytes: Uint8Array, start: number, end: number, zeroedAt = -1): number {
  let crc = -1
  for (let i = start; i < end; i++) {
    const byte = zeroedAt >= 0 && i >= zeroedAt && i < zeroedAt + 4 ? 0 : (bytes[i] as number)
    crc = (table[(crc ^ byte) & 255] as number) ^ (crc >>> 8)
  }
  return ~crc >>> 0
}
