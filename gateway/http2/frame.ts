/** Frame types that mean something here (RFC 9113 §6, RFC 9218 §7.1); all others are skipped. */
export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
  priorityUpdate: 16,
} as const

/** Frame flags (RFC 9113 §6). `ack` and `endStream` share a bit. */
export const Flag = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 } as const

/** Parameters of SETTINGS (RFC 9113 §6.5.2, RFC 8441 §3, RFC 9218 §2.1). */
export const Setting = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
  enableConnectProtocol: 8,
  noRfc7540Priorities: 9,
} as const

/** What a client sends first (RFC 9113 §3.4). */
export const clientPreface: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

/** Length of every frame's head. */
export const frameHeadBytes = 9

/** Largest payload sent, and the largest accepted: what every peer must take (RFC 9113 §4.2). More would only cost memory. */
export const framePayloadMax = 16_384

/** Flow-control window of every stream and connection before anybody changed it (RFC 9113 §6.9.2). */
export const defaultWindow = 65_535

/** Largest window there may be (RFC 9113 §6.9.1), and the largest stream identifier. */
export const windowMax = 0x7fff_ffff

/** Writes the nine bytes of a frame's head at `at`. @returns the offset just past them */
export function writeFrameHead(
  out: Uint8Array,
  at: number,
  length: number,
  type: number,
  flags: number,
  id: number,
): number {
  out[at] = length >>> 16
  out[at + 1] = length >>> 8
  out[at + 2] = length
  out[at + 3] = type
  out[at + 4] = flags
  return writeUint32(out, at + 5, id)
}

/** Writes 32 bits, most significant byte first. @returns the offset just past them */
export function writeUint32(out: Uint8Array, at: number, value: number): number {
  out[at] = value >>> 24
  out[at + 1] = value >>> 16
  out[at + 2] = value >>> 8
  out[at + 3] = value
  return at + 4
}

/** Reads 32 bits as an unsigned number. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return readUint31(bytes, at) + ((bytes[at] as number) >>> 7) * 0x8000_0000
}

/** Reads 31 bits; the top bit is reserved and ignored (RFC 9113 §4.1, §6.9). */
export function readUint31(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) & 0x7f) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  )
}
