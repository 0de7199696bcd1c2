import { ChunkedDecoder, lastChunk } from './chunked.ts'
import { releaseBlock } from './field-block.ts'
import { joinedBytesMax } from './message-socket.ts'

/**
 * The body of a small chunked answer that is all there, so that it can go out in one write.
 * @returns undefined when it is large, not complete, or has trailers
 */
export function wholeChunks(bytes: Buffer, at: number, end: number): Buffer | undefined {
  if (end - at > joinedBytesMax || end - at < lastChunk.length) return undefined
  for (let i = 0; i < lastChunk.length; i++) if (bytes[end - lastChunk.length + i] !== lastChunk[i]) return undefined
  const body = Buffer.allocUnsafe(end - at)
  const chunks = new ChunkedDecoder()
  let filled = 0
  while (at < end && !chunks.done) {
    at = chunks.step(bytes, at, end)
    if (at < 0) return undefined
    if (chunks.dataEnd > chunks.dataStart) filled += bytes.copy(body, filled, chunks.dataStart, chunks.dataEnd)
  }
  if (at === end && chunks.done && !chunks.trailers) return body.subarray(0, filled)
  if (chunks.trailers) releaseBlock(chunks.trailers)
  return undefined
}
