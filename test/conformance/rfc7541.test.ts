// Compression of header fields, through the TLS listener. The examples of the RFC stand in gateway/http2/hpack.test.ts.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../gateway/http2/error-code.ts'
import { FrameType, Setting } from '../../gateway/http2/frame.ts'
import { block, frame, headers, RawClient, request } from '../../gateway/listen/http2/testing/raw-client.ts'
import { type H2Row, testH2Rows } from './h2-rows.ts'

const plain = block(request())
/** HEADERS whose block is these bytes, before or behind a good request's. */
const before = (...bytes: number[]): Buffer[] => [
  frame(FrameType.headers, 5, 1, Buffer.concat([Buffer.from(bytes), plain])),
]
const behind = (...bytes: number[]): Buffer[] => [
  frame(FrameType.headers, 5, 1, Buffer.concat([plain, Buffer.from(bytes)])),
]
const wrong: Pick<H2Row, 'connectionError' | 'hostRequests'> = {
  connectionError: [ErrorCode.compression],
  hostRequests: 0,
}

const rows: H2Row[] = [
  { section: '§2.3.3', rule: 'an index beyond both tables cannot be decoded', send: behind(0xff, 0x00), ...wrong },
  { section: '§6.1', rule: 'an index of 0 cannot be decoded', send: behind(0x80), ...wrong },
  {
    section: '§6.1',
    rule: 'static entries are understood',
    send: [
      frame(
        FrameType.headers,
        5,
        1,
        Buffer.concat([Buffer.from([0x82, 0x87, 0x84]), block([':authority', 'app.test'])]),
      ),
    ],
    status: 200,
    requestLine: 'GET / HTTP/1.1',
  },
  {
    section: '§6.2.1',
    rule: 'a literal that is kept is found again by its index',
    send: [frame(FrameType.headers, 5, 1, Buffer.concat([plain, Buffer.from([0x40, 1, 0x78, 1, 0x79, 0xbe])]))],
    status: 200,
    request: { x: 'y | y' },
  },
  {
    section: '§6.2.2',
    rule: 'a literal that is not kept is not found',
    send: [frame(FrameType.headers, 5, 1, Buffer.concat([plain, Buffer.from([0x00, 1, 0x78, 1, 0x79, 0xbe])]))],
    ...wrong,
  },
  {
    section: '§6.2.3',
    rule: 'a literal that is never kept is understood',
    send: behind(0x10, 1, 0x78, 1, 0x79),
    status: 200,
    request: { x: 'y' },
  },
  {
    section: '§6.2',
    rule: 'the name of a literal may be an entry of the static table',
    send: behind(0x0f, 0x02, 1, 0x79),
    status: 200,
    request: { 'accept-language': 'y' },
  },
  {
    section: '§4.2',
    rule: 'a table size beyond what was allowed cannot be decoded',
    send: before(0x3f, 0xe2, 0x1f),
    ...wrong,
  },
  {
    section: '§4.2',
    rule: 'a change of the table size at the start of a block is understood',
    send: before(0x20, 0x3f, 0xe1, 0x1f),
    status: 200,
  },
  {
    section: '§4.2',
    rule: 'a change of the table size behind a field cannot be decoded',
    send: behind(0x20),
    ...wrong,
  },
  {
    section: '§5.1',
    rule: 'an integer without end cannot be decoded',
    send: behind(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
    ...wrong,
  },
  { section: '§5.1', rule: 'an integer that is cut off cannot be decoded', send: behind(0xff, 0x80), ...wrong },
  {
    section: '§5.2',
    rule: 'a string longer than its block cannot be decoded',
    send: behind(0x00, 0x7f, 0xff, 0x01),
    ...wrong,
  },
  {
    section: '§5.2',
    rule: 'a string in Huffman code is understood',
    send: behind(0x00, 1, 0x78, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff),
    status: 200,
    request: { x: 'www.example.com' },
  },
  {
    section: '§5.2',
    rule: 'Huffman padding of more than 7 bits cannot be decoded',
    send: behind(0x00, 1, 0x78, 0x82, 0x1f, 0xff),
    ...wrong,
  },
  {
    section: '§5.2',
    rule: 'Huffman padding with zeros cannot be decoded',
    send: behind(0x00, 1, 0x78, 0x81, 0x18),
    ...wrong,
  },
  {
    section: '§5.2',
    rule: 'the end-of-string symbol within a string cannot be decoded',
    send: behind(0x00, 1, 0x78, 0x84, 0xff, 0xff, 0xff, 0xff),
    ...wrong,
  },
]

const rig = testH2Rows('RFC 7541', rows)

test('RFC 7541 §4.2: a client that allows no table gets answers that use none', async () => {
  rig().reset('HTTP/1.1 200 OK\r\nX-Repeated: yes\r\nContent-Length: 2\r\n\r\nok')
  await using client = await RawClient.start(rig().gateway.httpsPort, [[Setting.headerTableSize, 0]])
  for (const id of [1, 3, 5]) {
    client.send(headers(id, request()))
    await client.ended(id)
    const { payload, fields } = client.of(FrameType.headers, id)[0] as { payload: Buffer; fields?: string[] }
    assert.ok(fields?.includes('x-repeated'))
    // An index above 61, alone or as a name, would be one of the dynamic table.
    assert.ok(payload.toString('latin1').includes('x-repeated') || payload.length > 30)
  }
})

test('RFC 7541 §2.3.2: the table lives as long as the connection, in order over all its streams', async () => {
  rig().reset()
  await using client = await RawClient.start(rig().gateway.httpsPort)
  const keep = Buffer.from([0x40, 1, 0x78, 1, 0x79])
  client.send(frame(FrameType.headers, 5, 1, Buffer.concat([plain, keep])))
  client.send(frame(FrameType.headers, 5, 3, Buffer.concat([plain, Buffer.from([0xbe])])))
  await client.ended(1)
  await client.ended(3)
  assert.equal(rig().hostBytes.match(/^x: y\r$/gm)?.length, 2)
})
