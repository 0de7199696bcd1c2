import { z } from '../../core/schema.ts'

const count = (value: number, text: string, min = 1) =>
  z.number().int().min(min).max(10_000_000).default(value).describe(text)
const bytes = (value: number, text: string, min = 1) =>
  z.number().int().min(min).max(1_073_741_824).default(value).describe(text)

/**
 * Limits of HTTP/2 connections. What one connection can make us keep, at most: bodies nobody has read yet (`heldBytesMax` and one
 * `connectionWindowBytes`), output the peer does not take (twice `outputBytesMax`, and the heads of `streamsMax` answers), one header block in
 * the making (`headerBlockBytesMax`), the heads of `streamsMax` requests, two header tables of about 2.5 times `headerTableBytes`, and one
 * frame (16 KiB).
 */
export const http2ConfigSchema = z
  .object({
    streamsMax: count(
      100,
      'Requests at a time on one connection; more are refused, which clients repeat later. RFC 9113 §5.1.2 advises 100.',
    ),
    headerTableBytes: bytes(
      4_096,
      'Memory of each side for repeated header fields; the size every peer has to start with.',
      4_096,
    ),
    headerBlockBytesMax: bytes(
      65_536,
      'Compressed header fields of one message; beyond it the connection ends. Well above headBytesMax, so that honest clients get 431.',
    ),
    headerListBytesMax: bytes(
      262_144,
      'Uncompressed header fields of one message, repeated ones counted each time; beyond it the connection ends, since decoding costs us more than it costs the sender.',
    ),
    continuationsMax: count(16, 'CONTINUATION frames of one header block; headerBlockBytesMax needs 4.'),
    streamWindowBytes: bytes(
      262_144,
      'Body bytes a client may send on one request ahead of who reads them: 5 MiB/s at 50 ms.',
      65_535,
    ),
    connectionWindowBytes: bytes(
      1_048_576,
      'Body bytes a client may send on one connection before it hears from us.',
      65_535,
    ),
    heldBytesMax: bytes(
      1_048_576,
      'Unread body bytes of one connection up to which other requests go on; then all wait for readers.',
    ),
    outputBytesMax: bytes(
      131_072,
      'Bytes that wait to be written to one connection before bodies have to wait: two buffers of 64 KiB.',
      32_768,
    ),
    resetsPerSecond: count(
      200,
      'Streams per second that the client resets, or makes us reset or refuse: two pages full of cancelled images, not a flood.',
    ),
    pingsPerSecond: count(200, 'PING frames per second; clients that measure their line send a few dozen.'),
    settingsPerSecond: count(100, 'Settings per second; a client sends about six once.'),
    emptyFramesPerSecond: count(
      100,
      'DATA frames without content per second, other than last ones; they serve nothing.',
    ),
    windowUpdatesPerSecond: count(
      1_000,
      'WINDOW_UPDATE frames per second beyond three for each larger DATA frame that we send.',
    ),
    otherFramesPerSecond: count(
      500,
      'Frames per second that mean nothing here: priorities, unknown types, frames for streams that are over.',
    ),
    lingerMs: count(
      1_000,
      'After the last frame of a connection, its input is read and ignored this long, so that the client gets to see that frame.',
    ),
  })
  .prefault({})

/** The limits with all defaults filled in. */
export type Http2Config = z.output<typeof http2ConfigSchema>
