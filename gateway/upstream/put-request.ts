import { writeChunkSize } from '../http1/chunked.ts'
import { Field } from '../http1/known-fields.ts'
import { putBytes, putNumber, scratch } from '../http1/message-socket.ts'
import { inChunks } from '../http1/scan-answer.ts'
import type { HostRequest } from './host-stream.ts'

const versionLine = Buffer.from(' HTTP/1.1\r\nHost: ')
const lineEnd = Buffer.from('\r\n')
const zeroLength = Buffer.from('Content-Length: 0\r\n')
const lengthName = Buffer.from('Content-Length: ')
const chunkedLine = Buffer.from('Transfer-Encoding: chunked\r\n')
const upgradeLines = Buffer.from('Connection: Upgrade\r\nUpgrade: websocket\r\n')
const keyName = Buffer.from('Sec-WebSocket-Key: ')
/** Room for what is in a request head besides prefix, path, host and fields: method, version, framing. */
const headExtraBytes = 512

/**
 * Puts a request together in the scratch buffer, as it goes to a host on HTTP/1.1: head, and the first part of the body behind it.
 * @param body - small enough to travel with the head
 * @param bodyBytes - length of the whole body, where it is known by now; `inChunks` otherwise
 * @returns the offset just past it
 */
export function putRequest(request: HostRequest, body: Buffer | undefined, bodyBytes: number): number {
  const { fields, extraLines, pathPrefix, pathStart, pathEnd, host } = request
  const fieldBytes = fields.count === 0 ? 0 : fields.end - fields.lineStart(0)
  const pathBytes = pathPrefix.length + pathEnd - pathStart
  const out = scratch.ensure(headExtraBytes + pathBytes + fieldBytes + extraLines.length + (body?.length ?? 0))
  let at = out.write(request.method, 0, 'latin1')
  out[at++] = 0x20
  at += pathPrefix.copy(out, at)
  at += fields.bytes.copy(out, at, pathStart, pathEnd)
  at = putBytes(out, at, versionLine)
  at += out.write(host, at, 'latin1')
  at = putBytes(out, at, lineEnd)
  at = fields.writeKept(out, at)
  at += extraLines.copy(out, at)
  at = putFraming(out, at, request, bodyBytes)
  at = putBytes(out, at, lineEnd)
  if (body === undefined || body.length === 0) return at
  if (bodyBytes !== inChunks) return at + body.copy(out, at)
  at = writeChunkSize(out, at, body.length)
  at += body.copy(out, at)
  return putBytes(out, at, lineEnd)
}

function putFraming(out: Buffer, at: number, request: HostRequest, bodyBytes: number): number {
  const { upgrade, method, fields } = request
  if (upgrade) return putUpgrade(out, at, upgrade.key)
  if (bodyBytes === inChunks) return putBytes(out, at, chunkedLine)
  // Nobody said how long the body would be, and now it is there.
  if (request.bodyBytes === inChunks) {
    at = putBytes(out, at, lengthName)
    return putBytes(out, putNumber(out, at, bodyBytes), lineEnd)
  }
  // Without it a host may wait for a body (RFC 9110 §8.6).
  const wantsLength = method === 'POST' || method === 'PUT' || method === 'PATCH'
  return bodyBytes === 0 && wantsLength && fields.find(Field.contentLength) < 0 ? putBytes(out, at, zeroLength) : at
}

function putUpgrade(out: Buffer, at: number, key: string | undefined): number {
  at = putBytes(out, at, upgradeLines)
  if (key === undefined) return at
  at = putBytes(out, at, keyName)
  at += out.write(key, at, 'latin1')
  return putBytes(out, at, lineEnd)
}
