import { blockFieldsMax, blockOf, type FieldBlock, releaseBlock, takeBlock } from '../http1/field-block.ts'
import { dropToHost, Field } from '../http1/known-fields.ts'
import { scratch } from '../http1/message-socket.ts'
import { equalsLower, scanFields } from '../http1/scan-fields.ts'
import { type HeaderWriter, roomFor } from '../http2/header-writer.ts'
import { PseudoIndex } from '../http2/hpack-encoder.ts'
import type { HostRequest } from './host-stream.ts'

const scheme = Buffer.from('https')
const grpc = Buffer.from('application/grpc')
const teTrailers = blockOf(['te', 'trailers'])
/** What pseudo-header fields need beside their values. */
const pseudoRoom = 64

/**
 * Writes the head of a request as HEADERS. Names become lower case; fields that are dropped, or that belong to one connection, stay out.
 * @see RFC 9113 §8.2.2 (connection-specific fields), §8.3.1 (pseudo-header fields)
 */
export function writeRequestHead(headers: HeaderWriter, request: HostRequest, id: number, endStream: boolean): void {
  const { fields, method, host, pathPrefix, pathStart, pathEnd } = request
  const lines = ownFields(request.extraLines)
  const pathAt = method.length
  const text = scratch.ensure(pathAt + pathPrefix.length + pathEnd - pathStart + host.length)
  text.write(method, 0, 'latin1')
  const hostAt =
    pathAt + pathPrefix.copy(text, pathAt) + fields.bytes.copy(text, pathAt + pathPrefix.length, pathStart, pathEnd)
  const end = hostAt + text.write(host, hostAt, 'latin1')
  const encoder = headers.begin(roomFor(fields) + roomFor(lines) + roomFor(teTrailers) + end + pseudoRoom)
  encoder.pseudo(PseudoIndex.method, text, 0, pathAt)
  encoder.pseudo(PseudoIndex.scheme, scheme, 0, scheme.length)
  encoder.pseudo(PseudoIndex.authority, text, hostAt, end)
  encoder.pseudo(PseudoIndex.path, text, pathAt, hostAt)
  encoder.fields(fields, dropToHost)
  if (wantsTrailers(fields)) encoder.fields(teTrailers, 0)
  encoder.fields(lines, 0)
  headers.finish(id, endStream)
  releaseBlock(lines)
}

/** The fields that the gateway adds. They are our own, so nothing is wrong with them. */
function ownFields(lines: Buffer): FieldBlock {
  const block = takeBlock()
  block.reset(lines)
  // No empty line ends them: the scanner stops for want of more, with all of them noted.
  scanFields(lines, 0, lines.length, block, blockFieldsMax)
  block.end = lines.length
  return block
}

/** Whether the client understands trailers: it says so, or it speaks gRPC, which is nothing without them. */
function wantsTrailers(fields: FieldBlock): boolean {
  const { at, code, bytes, count } = fields
  for (let i = 0; i < count; i++) {
    if (code[i] === Field.te && namesTrailers(fields.value(i))) return true
    if (code[i] !== Field.contentType) continue
    const start = at[i * 4 + 2] as number
    const end = Math.min(start + grpc.length, at[i * 4 + 3] as number)
    if (equalsLower(bytes, start, end, grpc)) return true
  }
  return false
}

function namesTrailers(te: string): boolean {
  return te.split(',').some((coding) => coding.trim().toLowerCase() === 'trailers')
}
