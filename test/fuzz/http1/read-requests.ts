import { ChunkedDecoder } from '../../../gateway/http1/chunked.ts'
import { needMore } from '../../../gateway/http1/scan-fields.ts'
import { type HeadLimits, ScannedRequest, scanRequest } from '../../../gateway/http1/scan-request.ts'

/** As in the gateway's configuration by default. */
export const headLimits: HeadLimits = { headBytesMax: 16_384, headFieldsMax: 100, uriBytesMax: 8_192 }

/** For what we wrote ourselves: our own fields come on top. */
export const writtenLimits: HeadLimits = { headBytesMax: 32_768, headFieldsMax: 200, uriBytesMax: 16_384 }

/** A request as one reader understands it. */
export interface ReadRequest {
  method: string
  /** As on the wire. */
  target: string
  version: string
  /** Names and values in turn, Latin-1. */
  fields: string[]
  body: Buffer
  trailers: string[]
  /** Its body is all there. */
  complete: boolean
}

export interface ReadRequests {
  requests: ReadRequest[]
  /** Why reading ended: no more bytes; nothing may follow the last request; what follows is not HTTP/1; a refusal. */
  end: 'more' | 'closed' | 'upgraded' | 'refused'
  /** Where the end is `refused`. */
  refusal: number
}

/** Reads a connection's bytes as our listener does: requests one after the other, each with its body. */
export function readRequests(bytes: Buffer, limits: HeadLimits = headLimits): ReadRequests {
  const requests: ReadRequest[] = []
  for (let at = 0; ; ) {
    const head = new ScannedRequest()
    try {
      const next = scanRequest(bytes, at, bytes.length, head, limits)
      if (next === needMore) return { requests, end: 'more', refusal: 0 }
      if (next < 0) return { requests, end: 'refused', refusal: next }
      const request: ReadRequest = {
        method: head.method,
        target: targetOf(bytes, at),
        version: head.version,
        fields: head.fields.pairs(),
        body: Buffer.alloc(0),
        trailers: [],
        complete: false,
      }
      requests.push(request)
      at = readBody(bytes, next, head.bodyBytes, request)
      if (at < 0) return { requests, end: 'refused', refusal: at }
      if (!request.complete) return { requests, end: 'more', refusal: 0 }
      if (head.upgrade) return { requests, end: 'upgraded', refusal: 0 }
      if (!head.keepAlive) return { requests, end: 'closed', refusal: 0 }
    } finally {
      head.release()
    }
  }
}

/** Fills in body and trailers. Returns the offset past them, or a refusal. */
export function readBody(
  bytes: Buffer,
  at: number,
  bodyBytes: number,
  into: { body: Buffer; trailers: string[]; complete: boolean },
): number {
  if (bodyBytes >= 0) {
    into.body = bytes.subarray(at, at + bodyBytes)
    into.complete = into.body.length === bodyBytes
    return at + into.body.length
  }
  const chunks = new ChunkedDecoder()
  const parts: Buffer[] = []
  while (at < bytes.length && !chunks.done) {
    at = chunks.step(bytes, at, bytes.length)
    if (at < 0) break
    parts.push(bytes.subarray(chunks.dataStart, chunks.dataEnd))
  }
  into.body = Buffer.concat(parts)
  into.complete = chunks.done
  into.trailers = chunks.trailers?.pairs() ?? []
  return at
}

/** What stands between the first and the last space of the request line. */
function targetOf(bytes: Buffer, at: number): string {
  const line = bytes.toString('latin1', at, at + 16_384).replace(/^\r\n/, '')
  return line.slice(line.indexOf(' ') + 1, line.indexOf(' HTTP/'))
}
