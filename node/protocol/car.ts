import { CID } from './cid.ts'
import { MalformedCarError } from './errors.ts'

/** A block as a CAR carries it; not verified yet. */
export interface CarBlock {
  cid: CID
  bytes: Uint8Array
}

const headerBytesMax = 65_536
/** Largest block of a CAR: the 2 MiB that the network passes on, and room for its CID. */
export const carBlockBytesMax = 2_097_152 + 128
const rootsMax = 1_024

/**
 * Reads a CARv1 as a stream. Memory stays at one block and one chunk of the source.
 * @returns the roots, and the blocks in order; reading the blocks goes on reading the source
 * @throws MalformedCarError for another version, broken framing, an over-long section or an early end
 * @see https://ipld.io/specs/transport/car/carv1/
 */
export async function readCar(
  source: AsyncIterable<Uint8Array>,
): Promise<{ roots: CID[]; blocks: AsyncIterable<CarBlock> }> {
  const reader = new SectionReader(source)
  const header = await reader.next(headerBytesMax)
  if (!header) throw new MalformedCarError('The CAR is empty.')
  return { roots: decodeHeader(header), blocks: readBlocks(reader) }
}

async function* readBlocks(reader: SectionReader): AsyncIterable<CarBlock> {
  for (;;) {
    const section = await reader.next(carBlockBytesMax)
    if (!section) return
    let cid: CID
    let bytes: Uint8Array
    try {
      ;[cid, bytes] = CID.decodeFirst(section)
    } catch (cause) {
      throw new MalformedCarError('A section of the CAR does not start with a CID.', { cause })
    }
    yield { cid, bytes }
  }
}

/** The beginning of a CAR with one root; sections follow, see `encodeCarBlock`. */
export function encodeCarHeader(root: CID): Uint8Array {
  const link = Uint8Array.of(0, ...root.bytes)
  // DAG-CBOR of { roots: [root], version: 1 }: keys in order of length, then bytes; a link is tag 42 over bytes with a zero first.
  const body = Buffer.concat([
    Uint8Array.of(0xa2, 0x65),
    Buffer.from('roots'),
    Uint8Array.of(0x81, 0xd8, 0x2a, 0x58, link.length),
    link,
    Uint8Array.of(0x67),
    Buffer.from('version'),
    Uint8Array.of(0x01),
  ])
  return Buffer.concat([encodeVarint(body.length), body])
}

/** One section of a CAR. */
export function encodeCarBlock(cid: CID, bytes: Uint8Array): Uint8Array {
  return Buffer.concat([encodeVarint(cid.bytes.length + bytes.length), cid.bytes, bytes])
}

function encodeVarint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
  bytes.push(rest)
  return Uint8Array.from(bytes)
}

/** Cuts a stream of chunks into length-prefixed sections. */
class SectionReader {
  readonly #source: AsyncIterator<Uint8Array>
  #buffer: Uint8Array = new Uint8Array()

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** @returns undefined at the end of the source */
  async next(bytesMax: number): Promise<Uint8Array | undefined> {
    const length = await this.#varint()
    if (length === undefined) return undefined
    if (length === 0 || length > bytesMax)
      throw new MalformedCarError(`A section of the CAR has ${length} bytes; 1 to ${bytesMax} are allowed.`)
    if (!(await this.#fill(length))) throw new MalformedCarError('The CAR ends inside a section.')
    return this.#take(length)
  }

  async #varint(): Promise<number | undefined> {
    let value = 0
    for (let index = 0; index < 5; index++) {
      if (!(await this.#fill(1))) {
        if (index === 0) return undefined
        break
      }
      const byte = this.#take(1)[0] as number
      value += (byte & 127) * 128 ** index
      if (byte < 128) return value
    }
    throw new MalformedCarError('The CAR holds a length that is broken.')
  }

  async #fill(length: number): Promise<boolean> {
    const parts = [this.#buffer]
    let have = this.#buffer.length
    while (have < length) {
      const { value, done } = await this.#source.next()
      if (done) break
      parts.push(value)
      have += value.length
    }
    if (parts.length > 1) this.#buffer = Buffer.concat(parts)
    return have >= length
  }

  #take(length: number): Uint8Array {
    const taken = this.#buffer.subarray(0, length)
    this.#buffer = this.#buffer.subarray(length)
    return taken
  }
}

/** Reads the DAG-CBOR of a CARv1 header: a map with `roots` and `version`, nothing else. */
function decodeHeader(bytes: Uint8Array): CID[] {
  const cbor = new HeaderReader(bytes)
  let roots: CID[] | undefined
  let version: number | undefined
  for (let left = cbor.head(5, 2); left > 0; left--) {
    const key = cbor.text()
    if (key === 'roots') roots = Array.from({ length: cbor.head(4, rootsMax) }, () => cbor.link())
    else if (key === 'version') version = cbor.head(0, 255)
    else throw new MalformedCarError('The header of the CAR holds an unknown member.')
  }
  if (version !== 1)
    throw new MalformedCarError(`The CAR has version ${version}; only version 1 is read.`, {
      hint: 'Export it as CARv1.',
    })
  if (!roots || !cbor.atEnd) throw new MalformedCarError('The header of the CAR is broken.')
  return roots
}

class HeaderReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  /** The number in the head of an item that must have this major type. */
  head(major: number, max: number): number {
    const byte = this.#byte()
    let value = byte & 31
    if (value === 24) value = this.#byte()
    else if (value === 25) value = this.#byte() * 256 + this.#byte()
    else if (value > 25) throw broken()
    if (byte >> 5 !== major || value > max) throw broken()
    return value
  }

  text(): string {
    return Buffer.from(this.#take(this.head(3, 16))).toString('latin1')
  }

  link(): CID {
    if (this.head(6, 42) !== 42) throw broken()
    const bytes = this.#take(this.head(2, 256))
    try {
      return CID.decode(bytes.subarray(1))
    } catch (cause) {
      throw new MalformedCarError('A root of the CAR is no CID.', { cause })
    }
  }

  #byte(): number {
    return this.#take(1)[0] as number
  }

  #take(length: number): Uint8Array {
    if (this.#at + length > this.#bytes.length) throw broken()
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }
}

function broken(): MalformedCarError {
  return new MalformedCarError('The header of the CAR is broken.')
}
