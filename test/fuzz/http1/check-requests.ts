import assert from 'node:assert/strict'
import { refusalTexts } from '../../../gateway/http1/scan-fields.ts'
import { extraLines, type Passage, pass, pathPrefix } from './memory-gateway.ts'
import { nodeRequests } from './node-oracle.ts'
import { type ReadRequest, type ReadRequests, readRequests, writtenLimits } from './read-requests.ts'
import { splitsOf } from './splits.ts'

const plainAnswer = [Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n')]

/**
 * Checks the bytes of a client's connection: what we accept `node:http` accepts with equal framing; wherever they are cut, the outcome is the
 * same; what goes to the host is read back as the same request.
 */
export function checkRequests(bytes: Buffer): string {
  const ours = readRequests(bytes)
  compareWithNode(bytes, ours)
  const whole = pass([bytes], plainAnswer)
  checkListener(ours, whole)
  checkSplits(bytes, whole, ours.end === 'refused')
  checkUpstream(ours, whole)
  return outcomeOf(ours)
}

function compareWithNode(bytes: Buffer, ours: ReadRequests): void {
  const node = nodeRequests(bytes)
  for (const [i, request] of ours.requests.entries()) {
    const theirs = node.messages[i]
    assert.ok(theirs, `request ${i + 1} is accepted by us and not by node:http (${node.error ?? 'waits'})`)
    // Where we stop within a body, node:http may go on.
    const stopped = ours.end === 'refused' && !request.complete
    const sameFar = stopped ? { body: theirs.body.subarray(0, request.body.length), complete: false, trailers: [] } : {}
    assert.deepEqual({ ...theirs, ...sameFar }, request, `request ${i + 1}`)
    // After a request to change the protocol node:http reads nothing more, whether the protocol changes or not.
    if (asksToUpgrade(request)) return
  }
  if (ours.end === 'more') assert.equal(node.messages.length, ours.requests.length, 'node:http finds another request')
}

function asksToUpgrade({ fields }: ReadRequest): boolean {
  return fields.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'upgrade')
}

/** The listener hands on what the scanner alone finds. */
function checkListener(ours: ReadRequests, whole: Passage): void {
  assert.equal(whole.requests.length, ours.requests.length, 'requests handed on')
  const statuses = [...whole.downstream.toString('latin1').matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map((match) => match[1])
  if (ours.end !== 'refused') return
  assert.match(String(statuses.at(-1)), /^4/, 'a refusal is answered')
  assert.notEqual(whole.closed, 'no', 'a connection goes on after a refusal')
}

function checkSplits(bytes: Buffer, whole: Passage, refused: boolean): void {
  // A head that came in pieces is looked at again when a line has ended.
  const rest = refused ? [Buffer.from('\n')] : []
  for (const at of splitsOf(bytes))
    compare(whole, pass([bytes.subarray(0, at), bytes.subarray(at), ...rest], plainAnswer), `cut at ${at}`)
  const single = Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))
  compare(whole, pass([...single, ...rest], plainAnswer), 'byte by byte')
}

function compare(whole: Passage, cut: Passage, where: string): void {
  assert.deepEqual(cut.requests, whole.requests, where)
  assert.equal(cut.closed, whole.closed, where)
  assert.equal(answersOf(cut), answersOf(whole), where)
}

/** What the client got, without interim answers (which depend on whether a body is there already) and without the wording of a refusal. */
function answersOf(passage: Passage): string {
  return passage.downstream
    .toString('latin1')
    .replaceAll('HTTP/1.1 100 Continue\r\n\r\n', '')
    .replace(/HTTP\/1\.1 4\d\d [\s\S]*$/, 'refused')
}

/** What was written to the host is, read again, the request that came in: method, path, fields, body, and nothing else. */
function checkUpstream(ours: ReadRequests, whole: Passage): void {
  for (const [i, request] of ours.requests.entries()) {
    if (!request.complete) continue
    const written = whole.upstream[i] as Buffer
    const again = readRequests(written, writtenLimits)
    assert.equal(again.requests.length, 1, `one request to the host: ${JSON.stringify(written.toString('latin1'))}`)
    const [first] = again.requests
    assert.ok(first?.complete)
    assert.ok(again.end === 'more' || again.end === 'upgraded', again.end)
    assert.equal(first.method, request.method)
    assert.ok(first.target.startsWith(pathPrefix))
    assert.deepEqual(first.body, request.body)
    const [hostName, host] = first.fields
    assert.equal(hostName, 'Host')
    assert.match(String(host), /^[a-z0-9._-]+$/)
    assert.ok(written.includes(extraLines))
    checkFields(first.fields, request.fields)
    const node = nodeRequests(written)
    assert.equal(node.error, undefined, 'node:http refuses what we wrote')
    assert.deepEqual(node.messages, again.requests)
  }
}

/** Every field that went to the host is one of ours, or one of the client's in its order. */
function checkFields(written: readonly string[], received: readonly string[]): void {
  const own = ['host', 'via', 'cdn-loop', 'transfer-encoding', 'content-length', 'connection', 'upgrade']
  let at = 0
  for (let i = 0; i + 1 < written.length; i += 2) {
    const [name, value] = [written[i] as string, written[i + 1]]
    if (own.includes(name.toLowerCase())) continue
    while (at < received.length && (received[at] !== name || received[at + 1] !== value)) at += 2
    assert.ok(at < received.length, `the host got a field that the client did not send: ${name}: ${value}`)
    at += 2
  }
}

function outcomeOf({ requests, end, refusal }: ReadRequests): string {
  const kinds = requests.map(({ fields, body, trailers, complete, version }) => {
    const names = fields.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase())
    const framing = names.includes('transfer-encoding') ? 'chunks' : body.length > 0 ? 'length' : 'none'
    return [version, framing, trailers.length > 0 ? 'trailers' : '', complete ? '' : 'cut'].join(' ')
  })
  return `${kinds.slice(-2).join('; ')}: ${end === 'refused' ? (refusalTexts[refusal] ?? refusal) : end}`
}
