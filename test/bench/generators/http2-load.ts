/** HTTP/2 load over TLS, for machines without h2load. Usage: http2-load.ts ORDER-JSON */
import { type ClientHttp2Session, connect } from 'node:http2'
import { requestFields, siteName } from '../content.ts'
import { streamsPerConnection } from '../workloads.ts'
import { readOrder, Tally } from './load.ts'

const order = readOrder()
const tally = new Tally(order.ms)
const fields = Object.fromEntries(requestFields.map(([name, value]) => [name.toLowerCase(), value]))
setTimeout(() => tally.finish(), order.ms)
for (let at = 0; at < order.connections; at++) {
  const session = connect(`https://127.0.0.1:${order.port}`, { servername: siteName, rejectUnauthorized: false })
  session.on('error', (error) => tally.failed(error.message))
  session.on('connect', () => {
    for (let stream = 0; stream < streamsPerConnection; stream++) ask(session)
  })
}

function ask(session: ClientHttp2Session): void {
  if (session.closed || session.destroyed || tally.isOver) return
  const startedAt = performance.now()
  const stream = session.request({ ':path': order.path, ':authority': siteName, ...fields })
  let status = 0
  stream.on('response', (head) => {
    status = Number(head[':status'])
  })
  stream.on('error', (error) => tally.failed(error.message))
  stream.on('data', () => {})
  stream.on('end', () => {
    if (status === 200) tally.done(startedAt)
    else tally.failed(`status ${status}`)
    ask(session)
  })
  stream.end()
}
