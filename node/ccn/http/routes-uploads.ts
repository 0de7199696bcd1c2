import { InvalidFormatError } from '../../protocol/errors.ts'
import type { CcnLimits } from '../config.ts'
import { BadRequestError } from '../errors.ts'
import type { FileStore, StagedFile } from '../ports.ts'
import type { App, Reply, Request } from './app.ts'
import { bodyStream, parseJson, readBody } from './body.ts'
import { isMultipart, readForm } from './multipart.ts'
import { type Publisher, sendOutcome } from './routes-publish.ts'
import { parseMetadata, stageCar, stageIpfsFile, type UploadMetadata } from './uploads.ts'

export interface UploadPorts {
  files: FileStore
  publisher: Publisher
  limits: CcnLimits
  /** Makes a staged file visible and notes it, so that messages that wait for it pass. */
  keep(staged: StagedFile): Promise<void>
}

interface UploadKind {
  itemType: 'storage' | 'ipfs'
  /** Bytes allowed with a signed STORE in front. */
  signedBytesMax: number
  stage(source: AsyncIterable<Uint8Array>, bytesMax: number): Promise<StagedFile>
}

// Blocks are at most 2 MiB, so this is what the largest CAR holds with blocks of 128 KiB.
const carBlocksMax = 32_768

/** Routes that take files in (protocol 3.6). Nothing stays of an upload that is refused. */
export function addUploadRoutes(app: App, ports: UploadPorts): void {
  const { files, limits } = ports
  const kinds: Readonly<Record<string, UploadKind>> = {
    '/api/v0/storage/add_file': {
      itemType: 'storage',
      signedBytesMax: limits.signedFileBytesMax,
      stage: (source, bytesMax) => files.stage(source, bytesMax),
    },
    '/api/v0/ipfs/add_file': {
      itemType: 'ipfs',
      signedBytesMax: limits.ipfsFileBytesMax,
      stage: (source, bytesMax) => stageIpfsFile(files, source, bytesMax),
    },
    '/api/v0/ipfs/add_car': {
      itemType: 'ipfs',
      signedBytesMax: limits.carBytesMax,
      stage: (source, bytesMax) => stageCar(files, source, { bytesMax, blocksMax: carBlocksMax }),
    },
  }
  for (const [path, kind] of Object.entries(kinds)) {
    app.post(path, async (request, reply) => {
      await using stack = new AsyncDisposableStack()
      const take = isMultipart(request) ? takeForm : takeBody
      return await take(request, reply, kind, ports, stack)
    })
  }
  app.post('/api/v0/storage/add_json', async (request) => {
    const bytes = await readJsonBytes(request, limits)
    await using staged = await files.stage(oneChunk(bytes), limits.contentBytesMax)
    await ports.keep(staged)
    return { status: 'success', hash: staged.hash }
  })
  app.post('/api/v0/ipfs/add_json', async (request) => {
    const bytes = await readJsonBytes(request, limits)
    await using staged = await stageIpfsFile(files, oneChunk(bytes), limits.contentBytesMax)
    await ports.keep(staged)
    return { status: 'success', hash: staged.hash }
  })
}

async function takeBody(
  request: Request,
  reply: Reply,
  kind: UploadKind,
  ports: UploadPorts,
  stack: AsyncDisposableStack,
): Promise<Reply> {
  const staged = stack.use(await kind.stage(bodyStream(request), ports.limits.fileBytesMax))
  if (staged.sizeBytes === 0) throw new BadRequestError('The upload is empty.')
  await ports.keep(staged)
  return reply.send({ status: 'success', hash: staged.hash, size: staged.sizeBytes })
}

async function takeForm(
  request: Request,
  reply: Reply,
  kind: UploadKind,
  ports: UploadPorts,
  stack: AsyncDisposableStack,
): Promise<Reply> {
  const { limits } = ports
  const form = await readForm(request, limits.bodyBytesMax, async (source, fields) => {
    const signed = readMetadata(fields, kind)
    return stack.use(await kind.stage(source, signed ? kind.signedBytesMax : limits.fileBytesMax))
  })
  if (!form.file) throw new BadRequestError('The form has no part named "file".')
  const metadata = readMetadata(form.fields, kind)
  const { name, value: staged } = form.file
  const answer = {
    status: 'success',
    hash: staged.hash,
    ...(name === undefined ? {} : { name }),
    size: staged.sizeBytes,
  }
  if (!metadata) {
    await ports.keep(staged)
    return reply.send(answer)
  }
  if (staged.hash !== metadata.fileHash) throw fileMismatch(staged, metadata)
  const outcome = await ports.publisher.publish(metadata.message, { sync: metadata.sync, staged })
  return sendOutcome(reply, outcome, answer)
}

function readMetadata(fields: ReadonlyMap<string, string>, kind: UploadKind): UploadMetadata | undefined {
  const text = fields.get('metadata')
  return text === undefined ? undefined : parseMetadata(text, kind.itemType)
}

function fileMismatch(staged: StagedFile, metadata: UploadMetadata): InvalidFormatError {
  return new InvalidFormatError(
    `The file that arrived has the hash ${staged.hash}; the STORE names ${metadata.fileHash}.`,
    {
      hint: 'Version 1.7 of the network’s TypeScript SDK alters bytes given as a Buffer: give it a Blob.',
    },
  )
}

async function readJsonBytes(request: Request, limits: CcnLimits): Promise<Uint8Array> {
  const bytes = await readBody(request, Math.min(limits.bodyBytesMax, limits.contentBytesMax))
  parseJson(bytes)
  return bytes
}

async function* oneChunk(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes
}
