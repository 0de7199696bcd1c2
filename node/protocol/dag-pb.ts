import { CID, dagPbCodec } from './cid.ts'
import { MalformedBlockError } from './errors.ts'

/** A link of a DAG-PB node: the child and the size that its parent claims for everything below it. */
export interface DagLink {
  cid: CID
  name: string
  sizeBytes: number
}

// A node of more links than this would be larger than any block (2 MiB) that the network passes on.
const linksMax = 65_536

/**
 * Lists the children of a block; none for codecs that have no links.
 * @throws MalformedBlockError when DAG-PB is broken
 */
export function blockLinks(cid: CID, bytes: Uint8Array): DagLink[] {
  if (cid.code !== dagPbCodec) return []
  const links: DagLink[] = []
  for (const field of fields(bytes)) {
    if (field.number !== 2) continue
    if (!(field.value instanceof Uint8Array) || links.length >= linksMax)
      throw new MalformedBlockError(`The block ${cid} has broken links.`)
    links.push(decodeLink(field.value))
  }
  return links
}

function decodeLink(bytes: Uint8Array): DagLink {
  const link: { cid?: CID; name: string; sizeBytes: number } = { name: '', sizeBytes: 0 }
  for (const { number, value } of fields(bytes)) {
    if (number === 1 && value instanceof Uint8Array) link.cid = decodeCid(value)
    if (number === 2 && value instanceof Uint8Array) link.name = Buffer.from(value).toString('utf8')
    if (number === 3 && typeof value === 'number') link.sizeBytes = value
  }
  if (!link.cid) throw new MalformedBlockError('A link of a block has no CID.')
  return { ...link, cid: link.cid }
}

function decodeCid(bytes: Uint8Array): CID {
  try {
    return CID.decode(bytes)
  } catch (cause) {
    throw new MalformedBlockError('A link of a block holds no CID.', { cause })
  }
}

/** Walks protobuf fields of the two wire types that DAG-PB uses: 0 (number) and 2 (bytes). */
function* fields(bytes: Uint8Array): Generator<{ number: number; value: number | Uint8Array }> {
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 0; shift < 53; shift += 7) {
      const byte = bytes[at++]
      if (byte === undefined) break
      value += (byte & 127) * 2 ** shift
      if (byte < 128) return value
    }
    throw new MalformedBlockError('A block ends inside a number.')
  }
  while (at < bytes.length) {
    const key = varint()
    const number = Math.floor(key / 8)
    const value = varint()
    if (key % 8 === 0) yield { number, value }
    else if (key % 8 !== 2 || at + value > bytes.length)
      throw new MalformedBlockError('A block holds a field that DAG-PB has not.')
    else {
      yield { number, value: bytes.subarray(at, at + value) }
      at += value
    }
  }
}
