import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { systemClock } from '../../core/clock.ts'
import { silentLog } from '../../core/log.ts'
import { systemRandom } from '../../core/random.ts'
import { stubConfig } from '../dns/config.ts'
import { createStubClient } from '../dns/stub-client.ts'
import { decodeMessage } from '../wire/decode-message.ts'
import { encodeMessage } from '../wire/encode-message.ts'
import { type DnsMessage, recordTypes } from '../wire/message.ts'
import { nameFromText, nameToText, type WireName } from '../wire/name.ts'
import { dnsServerConfig } from './config.ts'
import { type DnsServer, type DnsServerPorts, startDnsServer } from './dns-server.ts'
import { createZone } from './zone.ts'

const ports = { clock: systemClock, random: systemRandom, log: silentLog }
const never = new AbortController().signal

const makeZone = () =>
  createZone({
    origin: 'example.test',
    records: [
      { name: 'a.example.test', type: 'A', value: '192.0.2.1' },
      { name: 'a.example.test', type: 'HTTPS', value: '1 . alpn=h2,http/1.1 port=443 ipv4hint=192.0.2.1' },
      ...Array.from({ length: 20 }, (_, n) => ({
        name: 'big.example.test',
        type: 'TXT' as const,
        value: `${n}${'y'.repeat(90)}`,
      })),
    ],
  })

async function startServer(config: object = {}, more: Partial<DnsServerPorts> = {}): Promise<DnsServer> {
  return startDnsServer(dnsServerConfig.parse({ port: 0, ...config }), { ...ports, zones: [makeZone()], ...more })
}

function query(name: string, type: number, changes: Partial<DnsMessage> = {}): DnsMessage {
  return {
    id: 4711,
    response: false,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: true,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: false,
    rcode: 0,
    questions: [{ name: nameFromText(name) as WireName, type, class: 1 }],
    answers: [],
    authorities: [],
    additionals: [],
    edns: undefined,
    ...changes,
  }
}

const edns = { version: 0, udpPayloadBytes: 1232, dnssecOk: false, options: [] as { code: number; data: Buffer }[] }

async function askRaw(server: DnsServer, packet: Buffer, waitMs = 2_000): Promise<Buffer | undefined> {
  const socket = createSocket('udp4')
  try {
    const answered = once(socket, 'message', { signal: AbortSignal.timeout(waitMs) }).catch(() => undefined)
    socket.send(packet, server.port, '127.0.0.1')
    return (await answered)?.[0] as Buffer | undefined
  } finally {
    socket.close()
  }
}

async function ask(server: DnsServer, message: DnsMessage): Promise<DnsMessage & { bytes: number }> {
  const packet = await askRaw(server, encodeMessage(message))
  assert.ok(packet, 'no reply')
  const reply = decodeMessage(packet)
  assert.ok(!('malformed' in reply), JSON.stringify(reply))
  assert.equal(reply.id, message.id)
  return { ...reply, bytes: packet.length }
}

async function askTcp(server: DnsServer, packets: readonly Buffer[]): Promise<Buffer[]> {
  const socket = connect(server.port, '127.0.0.1')
  const framed = packets.map((p) => Buffer.concat([Buffer.from([p.length >> 8, p.length & 255]), p]))
  socket.write(Buffer.concat(framed))
  const replies: Buffer[] = []
  let pending = Buffer.alloc(0)
  for await (const chunk of socket) {
    pending = Buffer.concat([pending, chunk as Buffer])
    while (pending.length >= 2 && pending.length >= pending.readUInt16BE(0) + 2) {
      replies.push(pending.subarray(2, pending.readUInt16BE(0) + 2))
      pending = pending.subarray(pending.readUInt16BE(0) + 2)
    }
    if (replies.length === packets.length) break
  }
  socket.destroy()
  return replies
}

test('protocol check: what an authority must do with EDNS, flags, odd queries and big answers', async (t) => {
  await using server = await startServer()
  const a = (changes: Partial<DnsMessage> = {}) => ask(server, query('a.example.test', recordTypes.A, changes))
  await t.test('1: without EDNS there is no OPT in the reply', async () => {
    const reply = await a()
    assert.deepEqual([reply.rcode, reply.answers.length, reply.edns, reply.authoritative], [0, 1, undefined, true])
  })
  await t.test('2: EDNS 0 is answered with version 0', async () => {
    assert.deepEqual((await a({ edns })).edns, edns)
  })
  await t.test('3: EDNS version 1 gets BADVERS and no answer', async () => {
    const reply = await a({ edns: { ...edns, version: 1 } })
    assert.deepEqual([reply.rcode, reply.answers.length, reply.edns?.version], [16, 0, 0])
  })
  await t.test('4: an unknown option is not echoed', async () => {
    const reply = await a({ edns: { ...edns, options: [{ code: 100, data: Buffer.from('x') }] } })
    assert.deepEqual([reply.rcode, reply.edns?.options], [0, []])
  })
  await t.test('5, 13, 14: unknown EDNS flags and the Z bit are cleared; AD in a query is harmless', async () => {
    const packet = encodeMessage(query('a.example.test', recordTypes.A, { edns, authenticData: true }))
    packet[3] = (packet[3] as number) | 0x40
    packet[packet.length - 3] = 0x40
    const raw = (await askRaw(server, packet)) as Buffer
    assert.equal((raw[3] as number) & 0x4f, 0)
    assert.equal(raw[raw.length - 3], 0)
  })
  await t.test('6: DO is echoed', async () => {
    assert.equal((await a({ edns: { ...edns, dnssecOk: true } })).edns?.dnssecOk, true)
  })
  await t.test('7: a client cookie is answered with a server cookie; a malformed one is ignored', async () => {
    const data = Buffer.from('12345678')
    const cookie = (await a({ edns: { ...edns, options: [{ code: 10, data }] } })).edns?.options[0]
    assert.deepEqual([cookie?.code, cookie?.data.length, cookie?.data.subarray(0, 8)], [10, 24, data])
    const odd = await a({ edns: { ...edns, options: [{ code: 10, data: Buffer.from('123') }] } })
    assert.deepEqual(odd.edns?.options, [])
  })
  await t.test('8, 9: a big answer is cut with TC over UDP and whole over TCP', async () => {
    const plain = await ask(server, query('big.example.test', recordTypes.TXT))
    assert.ok(plain.truncated && plain.bytes <= 512)
    const large = await ask(
      server,
      query('big.example.test', recordTypes.TXT, { edns: { ...edns, udpPayloadBytes: 4096 } }),
    )
    assert.ok(large.truncated && large.bytes <= 1232, 'an offered size over 1232 is not used')
    const [whole] = await askTcp(server, [encodeMessage(query('big.example.test', recordTypes.TXT))])
    const reply = decodeMessage(whole as Buffer)
    assert.ok(!('malformed' in reply) && reply.answers.length === 20 && !reply.truncated)
  })
  await t.test('10: an unknown opcode is NOTIMP', async () => assert.equal((await a({ opcode: 15 })).rcode, 4))
  await t.test('11: an unknown type is an empty answer with SOA', async () => {
    const reply = await ask(server, query('a.example.test', 1000))
    assert.deepEqual([reply.rcode, reply.answers.length, reply.authorities[0]?.data.kind], [0, 0, 'SOA'])
  })
  await t.test('12: the question is echoed byte for byte, letter case included', async () => {
    const reply = await ask(server, query('A.eXaMpLe.TeSt', recordTypes.A))
    assert.equal(nameToText(reply.questions[0]?.name as WireName), 'A.eXaMpLe.TeSt')
    assert.equal(reply.answers.length, 1)
  })
  await t.test('15: a response is not answered', async () => {
    assert.equal(await askRaw(server, encodeMessage(query('a.example.test', 1, { response: true })), 100), undefined)
  })
  await t.test('16: two questions are FORMERR', async () => {
    const question = query('a.example.test', 1).questions[0] as DnsMessage['questions'][0]
    assert.equal((await a({ questions: [question, question] })).rcode, 1)
  })
  await t.test('17: cut and empty packets are FORMERR or nothing, and the server lives on', async () => {
    const packet = encodeMessage(query('a.example.test', 1))
    const reply = await askRaw(server, packet.subarray(0, 20))
    assert.equal((reply?.[3] ?? 0) & 15, 1)
    for (const bytes of [0, 1, 11]) assert.equal(await askRaw(server, packet.subarray(0, bytes), 50), undefined)
    assert.equal((await a()).rcode, 0)
  })
  await t.test('18: a missing name is NXDOMAIN with SOA', async () => {
    const reply = await ask(server, query('nobody.example.test', 1))
    assert.deepEqual([reply.rcode, reply.authorities[0]?.data.kind], [3, 'SOA'])
  })
  await t.test('19: queries pipelined on one connection are all answered', async () => {
    const packets = Array.from({ length: 40 }, (_, id) => encodeMessage(query('a.example.test', 1, { id })))
    const replies = await askTcp(server, packets)
    assert.equal(new Set(replies.map((reply) => reply.readUInt16BE(0))).size, 40)
  })
  await t.test('20: an HTTPS record is answered', async () => {
    const data = (await ask(server, query('a.example.test', recordTypes.HTTPS))).answers[0]?.data
    assert.deepEqual(data?.kind === 'HTTPS' && data.params.map((param) => param.key), [1, 3, 4])
  })
  await t.test('21: ANY is answered with one small record (RFC 8482)', async () => {
    const reply = await ask(server, query('big.example.test', recordTypes.ANY))
    assert.deepEqual([reply.rcode, reply.answers.length, reply.answers[0]?.type], [0, 1, recordTypes.HINFO])
    assert.ok(reply.bytes < 100)
  })
})

test('names outside the zones are refused by an authority and forwarded by a resolver', async () => {
  await using upstream = await startServer()
  await using authority = await startServer({}, { zones: [] })
  assert.equal((await ask(authority, query('a.example.test', 1))).rcode, 5)
  const forward = stubConfig.parse({ upstreams: [`127.0.0.1:${upstream.port}`] })
  await using resolver = await startServer({}, { zones: [], forward })
  assert.equal((await ask(resolver, query('a.example.test', 1))).answers.length, 1)
  const [whole] = await askTcp(resolver, [encodeMessage(query('big.example.test', recordTypes.TXT))])
  assert.ok((whole as Buffer).length > 1_232)
  assert.equal((await ask(resolver, query('a.example.test', 1, { recursionDesired: false }))).rcode, 5)
})

test('an alias that leaves the zones is followed for those who ask recursively, and left open for others', async () => {
  await using upstream = await startServer()
  const zone = createZone({
    origin: 'custom.test',
    records: [
      { name: 'app.custom.test', type: 'CNAME', value: 'a.example.test' },
      { name: 'gone.custom.test', type: 'CNAME', value: 'gone.example.test' },
    ],
  })
  const forward = stubConfig.parse({ upstreams: [`127.0.0.1:${upstream.port}`] })
  await using server = await startServer({}, { zones: [zone], forward })
  const whole = await ask(server, query('app.custom.test', recordTypes.A, { edns }))
  assert.deepEqual(
    whole.answers.map((answer) => answer.data.kind),
    ['CNAME', 'A'],
  )
  assert.equal((await ask(server, query('gone.custom.test', recordTypes.A))).rcode, 3)
  const partial = await ask(server, query('app.custom.test', recordTypes.A, { recursionDesired: false }))
  assert.deepEqual(
    partial.answers.map((answer) => answer.data.kind),
    ['CNAME'],
  )
})

test('a silent upstream gives SERVFAIL', async () => {
  const silent = createSocket('udp4')
  silent.bind(0, '127.0.0.1')
  await once(silent, 'listening')
  const forward = stubConfig.parse({ upstreams: [`127.0.0.1:${silent.address().port}`], timeoutMs: 50, attempts: 2 })
  await using server = await startServer({}, { forward })
  assert.equal((await ask(server, query('elsewhere.test', 1))).rcode, 2)
  silent.close()
})

test(".eth names get the gateway's address when the chain knows them, and are never forwarded", async () => {
  const records = { owner: '', vm: undefined, contentCid: undefined, unsupported: undefined, blockNumber: 1n }
  const ens = { records: async (name: string) => (name === 'app.eth' ? records : undefined) }
  const forward = stubConfig.parse({ upstreams: ['127.0.0.1:9'], timeoutMs: 50, attempts: 1 })
  await using server = await startServer({ ethAddresses: ['127.0.0.1', '::1'] }, { ens, forward })
  const reply = await ask(server, query('App.eth', recordTypes.A))
  assert.deepEqual(
    reply.answers.map((answer) => answer.data),
    [{ kind: 'A', address: '127.0.0.1' }],
  )
  assert.equal((await ask(server, query('app.eth', recordTypes.AAAA))).answers.length, 1)
  assert.deepEqual((await ask(server, query('app.eth', recordTypes.TXT))).answers, [])
  assert.equal((await ask(server, query('gone.eth', recordTypes.A))).rcode, 3)
  await using without = await startServer({}, { forward })
  assert.equal((await ask(without, query('app.eth', recordTypes.A))).rcode, 5)
})

test('TXT values are added beside each other and removed one by one, as DNS-01 needs', async () => {
  const zone = makeZone()
  await using server = await startServer({}, { zones: [zone] })
  const client = createStubClient(stubConfig.parse({ upstreams: [`127.0.0.1:${server.port}`] }), ports)
  const texts = async () => [...(await client.query('_acme-challenge.example.test', 'TXT', never)).values].sort()
  await zone.addTxt('_acme-challenge.example.test', 'one')
  await zone.addTxt('_acme-challenge.example.test.', 'two')
  assert.deepEqual(await texts(), ['one', 'two'])
  await zone.removeTxt('_acme-challenge.example.test', 'one')
  assert.deepEqual(await texts(), ['two'])
  await zone.removeTxt('_acme-challenge.example.test', 'two')
  await zone.removeTxt('_acme-challenge.example.test', 'two')
  assert.deepEqual(await texts(), [])
  assert.equal((await client.query('_acme-challenge.example.test', 'TXT', never)).rcode, 'NXDOMAIN')
})

test('a zone refuses records that cannot stand in it, and takes all of a change or nothing', () => {
  const zone = makeZone()
  const before = zone.serial()
  for (const record of [
    { name: 'a.other.test', type: 'A', value: '192.0.2.1' },
    { name: 'b.example.test', type: 'A', value: '192.0.2.256' },
    { name: 'b.example.test', type: 'AAAA', value: '192.0.2.1' },
    { name: 'a.example.test', type: 'CNAME', value: 'b.example.test' },
    { name: 'example.test', type: 'CNAME', value: 'b.example.test' },
    { name: 'b..example.test', type: 'A', value: '192.0.2.1' },
    { name: 'b.example.test', type: 'CAA', value: 'issue ca.test' },
    { name: 'b.example.test', type: 'HTTPS', value: '1 . unknown=1' },
  ] as const) {
    const fine = { name: 'fine.example.test', type: 'A', value: '192.0.2.5' } as const
    assert.throws(() => zone.add(fine, record), { code: 'RESOLVER_ZONE_RECORD_INVALID' }, JSON.stringify(record))
  }
  assert.equal(zone.serial(), before)
  assert.equal(zone.lookup(nameFromText('fine.example.test') as WireName, 1).kind, 'nxdomain')
})

test('a wildcard answers only where no name exists, and not across an existing one (RFC 4592)', () => {
  const zone = createZone({
    origin: 'gw.test',
    records: [
      { name: '*.gw.test', type: 'A', value: '192.0.2.1' },
      { name: 'host.sub.gw.test', type: 'A', value: '192.0.2.2' },
    ],
  })
  const kind = (name: string, type = 1) => zone.lookup(nameFromText(name) as WireName, type).kind
  assert.equal(kind('x.gw.test'), 'records')
  assert.equal(kind('a.b.gw.test'), 'records')
  assert.equal(kind('x.gw.test', 16), 'nodata')
  assert.equal(kind('sub.gw.test'), 'nodata')
  assert.equal(kind('other.sub.gw.test'), 'nxdomain')
  assert.equal(kind('gw.test'), 'nodata')
  assert.equal(kind('gw.test', 6), 'records')
})

test('the HTTP control changes records with the token only, and tells what is wrong with a change', async () => {
  const token = 'a-token-of-sixteen-or-more'
  await using server = await startServer({ adminPort: 0, adminToken: token })
  const client = createStubClient(stubConfig.parse({ upstreams: [`127.0.0.1:${server.port}`] }), ports)
  const post = (body: string, authorization = `Bearer ${token}`) =>
    fetch(`http://127.0.0.1:${server.adminPort}/records`, { method: 'POST', headers: { authorization }, body })
  const record = { name: 'new.example.test', type: 'TXT', value: 'hello' }
  assert.equal((await post(JSON.stringify({ add: [record] }), 'Bearer wrong')).status, 401)
  assert.equal((await post(JSON.stringify({ add: [record] }))).status, 204)
  assert.deepEqual((await client.query('new.example.test', 'TXT', never)).values, ['hello'])
  const { value: _, ...withoutValue } = record
  const changed = { remove: [withoutValue], add: [{ ...record, value: 'again' }] }
  assert.equal((await post(JSON.stringify(changed))).status, 204)
  assert.deepEqual((await client.query('new.example.test', 'TXT', never)).values, ['again'])
  assert.equal((await post('{')).status, 422)
  assert.equal((await post(JSON.stringify({ add: [{ ...record, type: 'MX' }] }))).status, 422)
  assert.equal((await post(JSON.stringify({ add: [{ ...record, name: 'x.other.test' }] }))).status, 422)
  assert.equal((await post(JSON.stringify({ add: [{ ...record, value: 'x'.repeat(300_000) }] }))).status, 422)
})

test('a taken port and a control without token are told at the start', async () => {
  await using server = await startServer()
  await assert.rejects(startServer({ port: server.port }), { code: 'RESOLVER_DNS_LISTEN' })
  await assert.rejects(startServer({ adminPort: 0 }), { code: 'RESOLVER_DNS_LISTEN' })
})

test('an idle TCP connection is closed, and so are those beyond the limit', async () => {
  await using server = await startServer({ tcpIdleMs: 100, tcpConnectionsMax: 1 })
  const first = connect(server.port, '127.0.0.1')
  await once(first, 'connect')
  const second = connect(server.port, '127.0.0.1')
  second.on('error', () => {})
  await once(second, 'close')
  await once(first, 'close')
})
