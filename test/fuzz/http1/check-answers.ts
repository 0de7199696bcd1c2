import assert from 'node:assert/strict'
import { ScannedAnswer, scanAnswer, untilClose } from '../../../gateway/http1/scan-answer.ts'
import { needMore, refusalTexts } from '../../../gateway/http1/scan-fields.ts'
import { type Passage, pass } from './memory-gateway.ts'
import { nodeAnswers, type ReadAnswer } from './node-oracle.ts'
import { readBody } from './read-requests.ts'
import { splitsOf } from './splits.ts'

const limits = { headBytesMax: 32_768, headFieldsMax: 200 }

/** What our reader makes of the bytes of a host that then closes its connection. */
interface ReadAnswers {
  /** Informational ones, then the final one. */
  answers: ReadAnswer[]
  end: 'whole' | 'cut' | 'refused' | 'switched'
  refusal: number
  /** Bytes up to the end of the final answer. */
  used: number
}

const requests: Record<string, Buffer[]> = {
  GET: [Buffer.from('GET / HTTP/1.1\r\nHost: app.test\r\n\r\n')],
  HEAD: [Buffer.from('HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n')],
  old: [Buffer.from('GET / HTTP/1.0\r\nHost: app.test\r\n\r\n')],
}

/**
 * Checks the bytes of a host: what we accept the client of `node:http` accepts with equal framing; wherever they are cut, the outcome is the
 * same; what goes to the client is read back as the same answer.
 */
export async function checkAnswers(bytes: Buffer): Promise<string> {
  const outcomes: string[] = []
  for (const method of ['GET', 'HEAD']) {
    const ours = readAnswers(bytes, method)
    await compareWithNode(bytes, method, ours)
    const whole = pass(requests[method] as Buffer[], [bytes], true)
    checkSplits(bytes, method, whole)
    await checkDownstream(ours, method, whole)
    outcomes.push(outcomeOf(ours))
  }
  checkOld(readAnswers(bytes, 'GET'), pass(requests.old as Buffer[], [bytes], true))
  return outcomes[0] === outcomes[1] ? (outcomes[0] as string) : outcomes.join(', HEAD ')
}

export function readAnswers(bytes: Buffer, method: string): ReadAnswers {
  const answers: ReadAnswer[] = []
  for (let at = 0; ; ) {
    const head = new ScannedAnswer()
    try {
      const next = scanAnswer(bytes, at, bytes.length, head, limits, method)
      if (next === needMore) return { answers, end: 'cut', refusal: 0, used: at }
      if (next < 0) return { answers, end: 'refused', refusal: next, used: at }
      // With dropped ones, which Node knows nothing of.
      head.fields.dropped.fill(0, 0, head.fields.count)
      const answer = {
        status: head.status,
        fields: head.fields.pairs(),
        body: Buffer.alloc(0),
        trailers: [],
        complete: false,
      }
      answers.push(answer)
      at = next
      if (head.status === 101) return { answers, end: 'switched', refusal: 0, used: at }
      if (head.status < 200) continue
      if (head.bodyBytes === untilClose) {
        Object.assign(answer, { body: bytes.subarray(at), complete: true })
        at = bytes.length
      } else at = readBody(bytes, at, head.bodyBytes, answer)
      if (at < 0) return { answers, end: 'refused', refusal: at, used: bytes.length }
      return { answers, end: answer.complete ? 'whole' : 'cut', refusal: 0, used: at }
    } finally {
      head.release()
    }
  }
}

async function compareWithNode(bytes: Buffer, method: string, ours: ReadAnswers): Promise<void> {
  const final = ours.answers.at(-1)
  if (!final || ours.end === 'switched' || final.status < 200) return
  const node = await nodeAnswers(bytes, method)
  const theirs = node.messages.at(-1)
  assert.ok(theirs, `node:http finds no answer (${node.error ?? 'none'})`)
  assert.equal(theirs.status, final.status)
  assert.deepEqual(theirs.fields, final.fields)
  if (ours.end === 'refused') return
  assert.deepEqual(theirs.body, final.body)
  assert.equal(theirs.complete, final.complete)
  if (final.complete) assert.deepEqual(theirs.trailers, final.trailers)
}

function checkSplits(bytes: Buffer, method: string, whole: Passage): void {
  const request = requests[method] as Buffer[]
  const seen = contentOf(whole, method)
  for (const at of splitsOf(bytes)) {
    const cut = pass(request, [bytes.subarray(0, at), bytes.subarray(at)], true)
    assert.deepEqual(contentOf(cut, method), seen, `cut at ${at}`)
  }
  const single = Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))
  assert.deepEqual(contentOf(pass(request, single, true), method), seen, 'byte by byte')
}

/** The answer that the client can read, without its framing: where chunks are cut depends on how the bytes came. */
function contentOf({ downstream, closed }: Passage, method: string): unknown {
  const read = readAnswers(downstream, method)
  return {
    answers: read.answers.map((answer) => ({ ...answer, fields: unframed(answer.fields) })),
    end: read.end,
    closed,
  }
}

/** Chunks become a length where the whole answer came in one read, so the fields that frame are left out. */
function unframed(fields: readonly string[]): string[] {
  const pairs = fields.flatMap((name, i) => (i % 2 === 0 ? [[name, fields[i + 1] as string]] : []))
  return pairs.filter(([name]) => !/^(content-length|transfer-encoding|connection)$/i.test(name as string)).flat()
}

/** A whole answer reaches the client whole, and one that is not is visibly cut, or replaced. */
async function checkDownstream(ours: ReadAnswers, method: string, whole: Passage): Promise<void> {
  const again = readAnswers(whole.downstream, method)
  const got = again.answers.at(-1)
  const sent = ours.answers.at(-1)
  assert.ok(got, 'the client got an answer')
  const replaced = got.fields.includes('X-Failed')
  if (ours.end === 'whole' && sent) {
    assert.ok(!replaced, 'a good answer was replaced')
    assert.equal(again.end, 'whole')
    assert.equal(got.status, sent.status)
    assert.deepEqual(got.body, sent.body)
    for (const [i, name] of got.trailers.entries()) if (i % 2 === 0) assert.ok(sent.trailers.includes(name))
    for (const [i, name] of got.fields.entries())
      if (i % 2 === 0 && !/^(content-length|transfer-encoding|connection|date)$/i.test(name))
        assert.ok(sent.fields.includes(name))
    const node = await nodeAnswers(whole.downstream, method)
    assert.deepEqual(node.messages.at(-1), got, 'node:http reads what we wrote otherwise')
    return
  }
  if (replaced) assert.equal(again.end, 'whole')
  else if (ours.end !== 'switched') {
    assert.equal(again.end, 'cut', 'what broke off looks whole')
    assert.notEqual(whole.closed, 'no')
  }
}

/** A 1.0 client gets no chunks, and sees the end of a body by the end of the connection alone. */
function checkOld(ours: ReadAnswers, whole: Passage): void {
  const text = whole.downstream.toString('latin1')
  assert.ok(!/^transfer-encoding:/im.test(text.slice(0, text.indexOf('\r\n\r\n'))), 'chunks for a 1.0 client')
  const got = readAnswers(whole.downstream, 'GET').answers
  if (ours.end !== 'whole') {
    const isCut = readAnswers(whole.downstream, 'GET').end === 'cut' || whole.closed === 'reset'
    assert.ok(isCut || got[0]?.fields.includes('X-Failed') || ours.end === 'switched', 'what broke off looks whole')
    return
  }
  assert.equal(got.length, 1, 'informational answers for a 1.0 client')
  assert.deepEqual(got[0]?.body, ours.answers.at(-1)?.body)
  assert.equal(whole.closed, 'closed')
}

function outcomeOf({ answers, end, refusal }: ReadAnswers): string {
  const final = answers.at(-1)
  const kind = final ? `${Math.floor(final.status / 100)}xx${final.trailers.length > 0 ? ' trailers' : ''}` : ''
  return `${answers.length > 1 ? 'after 1xx ' : ''}${kind} ${end === 'refused' ? (refusalTexts[refusal] ?? refusal) : end}`
}
