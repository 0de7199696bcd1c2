import assert from 'node:assert/strict'
import { readFrames } from './frames.ts'
import type { Conversation } from './memory-server.ts'
import type { NodeSession } from './node-oracle.ts'

/**
 * Every request that we accept is one that `node:http2` accepts, with the same fields. Frames for a stream that was reset are ignored by us, as
 * RFC 9113 §5.1 asks; `node:http2` may give the connection up for them, and sees no more then.
 */
export function assertSubset(ours: Conversation, theirs: NodeSession): void {
  const mayBeGone = theirs.failed && readFrames(ours.output).frames.some(({ type }) => type === 3)
  for (const request of ours.requests) {
    const same = theirs.requests.find(({ id }) => id === request.id)
    if (!same && mayBeGone) continue
    assert.ok(same, `request ${request.id} is accepted by us and not by node:http2: ${JSON.stringify(request.fields)}`)
    const pairs = pairsOf(same.fields)
    const pseudo = new Map(pairs.filter(([name]) => name.startsWith(':')))
    assert.equal(request.method, pseudo.get(':method'))
    assert.equal(request.target, pseudo.get(':path'))
    const plain = pairs.filter(([name]) => !name.startsWith(':'))
    assert.deepEqual(joined(pairsOf(request.fields)), joined(plain))
  }
}

function pairsOf(list: readonly string[]): [string, string][] {
  return list.flatMap((name, i) => (i % 2 === 0 ? [[name, list[i + 1]] as [string, string]] : []))
}

/** Cookies as one, last; everything else in its order. */
function joined(pairs: readonly [string, string][]): [string, string][] {
  const cookies = pairs.filter(([name]) => name === 'cookie').map(([, value]) => value)
  const others = pairs.filter(([name]) => name !== 'cookie')
  return cookies.length === 0 ? others : [...others, ['cookie', cookies.join('; ')]]
}
