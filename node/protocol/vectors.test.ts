import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { MessageError } from './errors.ts'
import { verifyItemHash } from './item-hash.ts'
import { parseMessage } from './message.ts'
import { chainsNotBuiltIn, type SignedFields, verifySignature } from './signature.ts'

interface Vector {
  message: SignedFields & { signature: string; item_content?: string | null; time: unknown }
  expected: { signature: 'valid' | 'invalid' | 'unknown'; item_hash: 'match' | 'mismatch' | 'absent' }
}
interface Recording {
  label: string
  body: unknown
}

const folder = process.env.LASTMILE_VECTORS
const absent = 'LASTMILE_VECTORS is not set: the network’s real messages were not checked'

test('the network’s real messages are accepted or refused as their README says', (context) => {
  if (folder === undefined) return context.diagnostic(absent)
  const counts = { accepted: 0, refused: 0, notBuiltIn: 0, noVerdict: 0 }
  for (const { message, expected } of vectors(folder)) {
    counts[judge(message, expected)]++
  }
  context.diagnostic(`real messages: ${JSON.stringify(counts)}`)
  assert.equal(counts.accepted, 35)
  assert.equal(counts.accepted + counts.refused + counts.notBuiltIn + counts.noVerdict, 51)
})

test('the hash of inline content matches exactly where the README says so', (context) => {
  if (folder === undefined) return context.diagnostic(absent)
  for (const { message, expected } of vectors(folder)) {
    if (expected.item_hash === 'absent' || typeof message.item_content !== 'string') continue
    const check = () => verifyItemHash(message.item_content as string, message.item_hash)
    if (expected.item_hash === 'match') check()
    else assert.throws(check, (error) => error instanceof MessageError && error.errorCode === 0)
  }
})

test('every message that the network’s SDK was recorded to send parses and verifies', (context) => {
  if (folder === undefined) return context.diagnostic(absent)
  let checked = 0
  for (const message of recorded(folder)) {
    verifySignature(parseMessage(message))
    checked++
  }
  context.diagnostic(`recorded SDK messages: ${checked}`)
  assert.ok(checked >= 20, `${checked} messages`)
})

function judge(
  message: Vector['message'],
  expected: Vector['expected'],
): 'accepted' | 'refused' | 'notBuiltIn' | 'noVerdict' {
  const error = errorOf(() => verifySignature(message))
  if (chainsNotBuiltIn.has(message.chain)) {
    assert.ok(error instanceof MessageError && error.errorCode === 0, `${message.chain} ${message.item_hash}`)
    return 'notBuiltIn'
  }
  if (expected.signature === 'unknown') return 'noVerdict'
  if (expected.signature === 'valid') {
    assert.equal(error, undefined, `${message.chain} ${message.item_hash}: ${error}`)
    return 'accepted'
  }
  assert.ok(
    error instanceof MessageError && error.errorCode === 1,
    `${message.chain} ${message.item_hash} must be refused`,
  )
  return 'refused'
}

function vectors(path: string): Vector[] {
  const files = readdirSync(path).filter((name) => /^(valid|negative)-.*\.json$/.test(name))
  return files.flatMap((name) => readJson(join(path, name)) as Vector[])
}

function recorded(path: string): unknown[] {
  const files = readdirSync(path).filter((name) => name.startsWith('sdk-requests-'))
  const bodies = files.flatMap((name) => (readJson(join(path, name)) as Recording[]).map(({ body }) => body))
  return bodies.filter((body) => typeof body === 'string').flatMap(messagesIn)
}

function messagesIn(body: string): unknown[] {
  const json = /\{.*\}/.exec(body)?.[0]
  if (json === undefined) return []
  try {
    const { message, data } = JSON.parse(json) as Record<string, { signature?: string }>
    return [message, data].filter((value) => value?.signature !== undefined)
  } catch {
    return []
  }
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'))
}

function errorOf(work: () => void): unknown {
  try {
    work()
    return undefined
  } catch (error) {
    return error
  }
}
