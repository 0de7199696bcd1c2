// Names come from strangers and become keys of tables; the hash of a key that looks like an integer can be chosen (CVE-2026-21717).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseHost } from '../guard/host-name.ts'
import { ask, connectTls, sendRawPlain } from '../testing/client.ts'
import { startTestGateway } from '../testing/test-gateway.ts'

test('a host that ends in a number is an address, so no name looks like an integer', () => {
  fc.assert(
    fc.property(fc.oneof(fc.nat(0xffff_ffff), fc.maxSafeNat()), fc.constantFrom('', '.', ':443'), (number, end) => {
      assert.deepEqual(parseHost(`${number}${end}`), { kind: 'address' })
    }),
  )
  for (const address of ['1.2.3', '127.1', '0x7f000001', '0x', 'a.0x7F', 'app.test.1', '1.2.3.4.5'])
    assert.deepEqual(parseHost(address), { kind: 'address' }, address)
  for (const name of ['1.test', '0.1.2.example', 'x0.a1', 'a.0xg', 'a.1a'])
    assert.deepEqual(parseHost(name), { kind: 'name', name }, name)
})

test('such a host is never looked up, whether it comes in a request or in a handshake', async () => {
  await using gateway = await startTestGateway({ listen: { plainSites: true } })
  for (const host of ['4294967294', '2130706433', '17'])
    assert.match(await sendRawPlain(gateway.httpPort, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`), /^HTTP\/1.1 421 /)
  await assert.rejects(connectTls(gateway.httpsPort, '4294967294'))
  assert.equal((await ask({ port: gateway.httpPort, host: 'nobody.test', plain: true })).status, 404)
  assert.equal(gateway.names.lookups, 1)
})
