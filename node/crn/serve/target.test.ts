import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findTarget } from './target.ts'

// The example of the protocol reference 5.2.
const itemHash = 'd2b74aa29898457bde0560e47f7cdd4e77287e9f1f7a1456161d2fd7d5c855d7'
const label = '2k3uviuytbcxxxqfmdsh67g5jz3sq7u7d55bivqwdux5pvoikxlq'

test('a program is found by path, with the prefix removed', () => {
  assert.deepEqual(findTarget('host:4020', `/vm/${itemHash}`), { itemHash, path: '/' })
  assert.deepEqual(findTarget('host:4020', `/vm/${itemHash}/a/b?c=d`), { itemHash, path: '/a/b?c=d' })
  assert.deepEqual(findTarget('host:4020', `/vm/${itemHash}?c=d`), { itemHash, path: '/?c=d' })
  assert.deepEqual(findTarget('host:4020', `/vm/${itemHash}//x`), { itemHash, path: '//x' })
})

test('a program is found by host label and owns every path', () => {
  assert.deepEqual(findTarget(`${label}.crn.test:8080`, '/about/login'), { itemHash, path: '/about/login' })
  assert.deepEqual(findTarget(`${label.toUpperCase()}.crn.test`, '/vm/x'), { itemHash, path: '/vm/x' })
})

test('everything else is for the API', () => {
  for (const host of [undefined, 'localhost', '127.0.0.1:4020', 'crn.test'])
    assert.equal(findTarget(host, '/about/login'), undefined)
})

test('a hash or label of wrong form is refused with the value', () => {
  assert.throws(() => findTarget('host', '/vm/abc'), { code: 'CRN_NOT_FOUND', message: /"abc" is no item hash/ })
  assert.throws(() => findTarget('host', `/vm/${itemHash.toUpperCase()}/`), { code: 'CRN_NOT_FOUND' })
  assert.throws(() => findTarget(`${'1'.repeat(52)}.crn.test`, '/'), { code: 'CRN_NOT_FOUND' })
})
