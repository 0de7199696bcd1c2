import type { ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { toProblem } from '../../../core/errors.ts'

/** The network's scoring reads the software and its version from this header. */
export const serverHeader = 'aleph-vm/lastmile-0.1.0'
/** Whole seconds; a guest that ends or goes idle frees room within this time more often than not. */
const retryAfterSeconds = '5'

/** Answers with problem details (RFC 9457). Returns the error's code, for the metric. */
export function sendProblem(response: ServerResponse, error: unknown): string {
  const problem = toProblem(error)
  if (response.headersSent) {
    response.destroy()
    return problem.code
  }
  const body = JSON.stringify(problem)
  response.writeHead(problem.status, problemHeaders(problem.status, body))
  response.end(response.req.method === 'HEAD' ? undefined : body)
  return problem.code
}

/** The same on a connection that asked for an upgrade, where node:http has let go of the socket. */
export function sendProblemRaw(socket: Duplex, error: unknown): string {
  const problem = toProblem(error)
  const body = JSON.stringify(problem)
  const head = Object.entries({ ...problemHeaders(problem.status, body), Connection: 'close' }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  )
  socket.end(`HTTP/1.1 ${problem.status} ${problem.code}\r\n${head.join('')}\r\n${body}`)
  return problem.code
}

function problemHeaders(status: number, body: string): Record<string, string> {
  return {
    Server: serverHeader,
    'Content-Type': 'application/problem+json',
    'Content-Length': String(Buffer.byteLength(body)),
    'Cache-Control': 'no-store',
    ...(status === 503 ? { 'Retry-After': retryAfterSeconds } : {}),
  }
}
