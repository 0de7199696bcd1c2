import { STATUS_CODES } from 'node:http'

const lines = new Map<number, Buffer>()

/** The status line of an answer, CRLF included. Reason phrases are the registered ones: what a host calls its status is not passed on. */
export function statusLine(status: number): Buffer {
  let line = lines.get(status)
  if (!line) {
    line = Buffer.from(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n`)
    lines.set(status, line)
  }
  return line
}
