import type { ClientRequest, IncomingMessage } from 'node:http'
import { trailerFields } from '../guard/header-policy.ts'
import type { ForwardJob } from './forwarder.ts'

/** How the relay of a body ended. */
export interface Relayed {
  complete: boolean
  brokenBy: 'host' | 'client' | undefined
}

/**
 * Sends the head of an answer to the client at once: an event stream starts before its first event.
 * @throws Error when Node refuses a field; nothing has been sent then
 */
export function writeAnswerHead(job: ForwardJob, answer: IncomingMessage): void {
  const { request, response } = job.client
  let fields = job.answerFields(answer.rawHeaders)
  const chunked = answer.headers['transfer-encoding'] !== undefined && request.httpVersion === '1.1'
  // Trailer without chunked framing promises what cannot come, and Node refuses to write it.
  if (!chunked) fields = without(fields, 'trailer')
  // A client still sending its body while the answer begins cannot safely reuse the connection.
  if (job.body.kind === 'stream' && !request.complete) fields = [...fields, 'Connection', 'close']
  response.writeHead(answer.statusCode as number, fields)
  response.flushHeaders()
}

/**
 * Sends the body as it comes, with back-pressure, then the trailers. When the host breaks off, the client's connection is cut,
 * so that a short answer never looks whole.
 * @param prefix - the whole body, where it has been read already
 */
export function relayBody(
  job: ForwardJob,
  request: ClientRequest,
  answer: IncomingMessage,
  prefix?: Buffer,
): Promise<Relayed> {
  const { response } = job.client
  return new Promise((resolve) => {
    const cut = (brokenBy: Relayed['brokenBy']): void => {
      request.destroy()
      response.destroy()
      resolve({ complete: false, brokenBy })
    }
    if (response.destroyed) return cut('client')
    response.once('close', () =>
      response.writableFinished ? resolve({ complete: true, brokenBy: undefined }) : cut('client'),
    )
    answer.once('error', () => cut('host'))
    if (!answer.complete || prefix === undefined) answer.once('close', () => answer.complete || cut('host'))
    if (prefix !== undefined) return answer.complete ? void response.end(prefix) : cut('host')
    answer.pipe(response, { end: false })
    answer.once('end', () => {
      if (!answer.complete) return
      const trailers = trailerFields(answer.rawTrailers)
      if (trailers.length > 0 && response.chunkedEncoding) response.addTrailers(trailers)
      response.end()
    })
  })
}

function without(fields: readonly string[], name: string): string[] {
  return fields.filter((_, i) => (fields[i - (i % 2)] as string).toLowerCase() !== name)
}
