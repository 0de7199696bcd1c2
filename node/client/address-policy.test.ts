import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPublicAddress, vetOrigin } from './address-policy.ts'

test('addresses of this machine, its neighbours, and IPv6 forms that hide them are not public', () => {
  const inside =
    '127.0.0.1 10.1.2.3 172.31.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 255.255.255.255 224.0.0.1 ::1 :: fe80::1'
  const hidden = 'fd00::1 ::ffff:127.0.0.1 ::ffff:a00:1 64:ff9b::a00:1 2002:a00:1:: 2001:0:1::1 ff02::1'
  for (const address of `${inside} ${hidden}`.split(' ')) assert.equal(isPublicAddress(address), false, address)
  for (const address of ['1.1.1.1', '172.32.0.1', '2606:4700::1111', '8.8.8.8'])
    assert.equal(isPublicAddress(address), true, address)
  assert.equal(isPublicAddress('no address'), false)
})

test('a host is used only when every address of its name is public', async () => {
  const names: Record<string, string[]> = {
    'good.example': ['1.1.1.1', '2606:4700::1111'],
    'mixed.example': ['1.1.1.1', '10.0.0.1'],
    'none.example': [],
  }
  const find = async (name: string): Promise<string[]> => {
    const found = names[name]
    if (!found) throw new Error('no such name')
    return found
  }
  assert.equal(await vetOrigin('https://good.example/path', false, find), 'https://good.example')
  for (const url of [
    'https://mixed.example',
    'https://none.example',
    'https://unknown.example',
    'http://[::1]:80',
    'http://2130706433',
    'http://0x7f.1',
    'file:///etc',
    'gopher://x',
    '',
  ]) {
    assert.equal(await vetOrigin(url, false, find), undefined, url)
  }
  assert.equal(await vetOrigin('http://1.1.1.1:8080', false, find), 'http://1.1.1.1:8080')
  assert.equal(await vetOrigin('http://127.0.0.1:4020/x', true, find), 'http://127.0.0.1:4020')
})
