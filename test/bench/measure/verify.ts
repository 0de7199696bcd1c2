import { request as requestPlain } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { request as requestTls } from 'node:https'
import { bigBody, postBody, sha256, siteName, smallBody } from '../content.ts'
import type { Workload } from '../workloads.ts'

const timeoutMs = 10_000

/** What comes back for the path of a workload, and what is sent for it. */
function expectation(workload: Workload): { path: string; send?: Buffer; expected: Buffer } {
  if (workload.name === 'body1m') return { path: workload.path, expected: bigBody }
  // The load itself goes to a path that drops the body; only an echo shows that it arrived whole.
  if (workload.name === 'post16k') return { path: '/echo', send: postBody, expected: postBody }
  return { path: '/1k', expected: smallBody }
}

/**
 * Asks once through the proxy, by the protocol of the workload, and compares length and SHA-256: a proxy that sends wrong or empty
 * bodies looks fast.
 * @throws Error that says what differs
 */
export async function verifyBody(workload: Workload, ports: { httpPort: number; httpsPort: number }): Promise<void> {
  const { path, send, expected } = expectation(workload)
  const answer = await (workload.scheme === 'h2'
    ? askHttp2(ports.httpsPort, path)
    : ask(workload.scheme, workload.scheme === 'tls' ? ports.httpsPort : ports.httpPort, path, send))
  if (answer.status !== 200) throw new Error(`status ${answer.status}`)
  if (answer.body.length !== expected.length)
    throw new Error(`the body has ${answer.body.length} bytes instead of ${expected.length}`)
  if (sha256(answer.body) !== sha256(expected)) throw new Error('the body has another SHA-256 than what was sent')
}

interface Answer {
  status: number
  body: Buffer
}

function ask(scheme: 'plain' | 'tls', port: number, path: string, send: Buffer | undefined): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = {
      port,
      host: '127.0.0.1',
      path,
      method: send ? 'POST' : 'GET',
      headers: { Host: siteName, ...(send ? { 'Content-Length': send.length } : {}) },
      agent: false,
      timeout: timeoutMs,
      servername: siteName,
      rejectUnauthorized: false,
    } as const
    const request = (scheme === 'tls' ? requestTls : requestPlain)(options, (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.on('error', reject)
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts) }))
    })
    request.on('timeout', () => request.destroy(new Error(`no answer within ${timeoutMs} ms`)))
    request.on('error', reject)
    request.end(send)
  })
}

function askHttp2(port: number, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { servername: siteName, rejectUnauthorized: false }
    const session = connectHttp2(`https://127.0.0.1:${port}`, options)
    const fail = (error: Error): void => {
      session.destroy()
      reject(error)
    }
    session.on('error', fail)
    session.setTimeout(timeoutMs, () => fail(new Error(`no answer within ${timeoutMs} ms`)))
    const stream = session.request({ ':path': path, ':authority': siteName })
    const parts: Buffer[] = []
    let status = 0
    stream.on('response', (head) => {
      status = Number(head[':status'])
    })
    stream.on('data', (part: Buffer) => parts.push(part))
    stream.on('error', fail)
    stream.on('end', () => {
      session.close()
      resolve({ status, body: Buffer.concat(parts) })
    })
  })
}
