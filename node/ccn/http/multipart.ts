import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import { Busboy, type BusboyInstance } from '@fastify/busboy'
import { BadRequestError, TooLargeError } from '../errors.ts'
import type { Request } from './app.ts'

/** What a form held: its text fields, and what `onFile` made of the file. */
export interface Form<T> {
  fields: Map<string, string>
  file: { name: string | undefined; value: T } | undefined
}

const fieldsMax = 16
const headerPairsMax = 16

export function isMultipart(request: Request): boolean {
  return request.headers['content-type']?.startsWith('multipart/form-data') === true
}

/**
 * Reads a multipart form with at most one file. Which part is the file is told by its name `file`, not by a file name: the
 * network's SDK sends files without one (protocol 3.6).
 * @param onFile - takes the file's bytes; fields before the file are given. It has ended when this returns or throws
 * @throws BadRequestError when the form is malformed; TooLargeError past `fieldBytesMax`; whatever `onFile` throws
 */
export async function readForm<T>(
  request: Request,
  fieldBytesMax: number,
  onFile: (source: AsyncIterable<Uint8Array>, fields: ReadonlyMap<string, string>) => Promise<T>,
): Promise<Form<T>> {
  const form: Form<T> = { fields: new Map(), file: undefined }
  const parser = createParser(request.headers, fieldBytesMax)
  const source = request.body as Readable
  let taken: Promise<void> | undefined
  let file: Readable | undefined
  const failed = Promise.withResolvers<never>()
  const fail = (error: unknown): void => failed.reject(asBadRequest(error))
  const brokenStream = new WeakSet<object>()
  parser.on('field', (name, value, _nameTruncated, valueTruncated) => {
    if (valueTruncated) fail(new TooLargeError(`form field ${name}`, fieldBytesMax))
    else form.fields.set(name, value)
  })
  parser.on('file', (name, stream, filename) => {
    // Whoever reads the stream meets its error too. Noted, to tell it from trouble of our own, such as a full disk.
    stream.on('error', (error) => brokenStream.add(error))
    if (name !== 'file' || taken) {
      stream.resume()
      return
    }
    file = stream
    taken = onFile(stream, form.fields).then(
      (value) => {
        form.file = { name: filename || undefined, value }
      },
      (error: Error) => {
        throw brokenStream.has(error) ? asBadRequest(error) : error
      },
    )
    taken.catch(failed.reject)
  })
  const limits = ['partsLimit', 'filesLimit', 'fieldsLimit'] as const
  for (const limit of limits)
    parser.on(limit, () => fail(new BadRequestError(`The form has too many parts (${limit}).`)))
  const parsed = new Promise<void>((resolve) => parser.once('finish', resolve))
  parser.on('error', fail)
  source.on('error', fail)
  source.once('close', () => source.readableEnded || fail(new BadRequestError('The upload broke off.')))
  source.pipe(parser)
  try {
    await Promise.race([parsed, failed.promise])
    await Promise.race([taken, failed.promise])
    return form
  } catch (error) {
    source.unpipe(parser)
    source.resume()
    parser.destroy()
    file?.destroy(error as Error)
    // What the taker of the file found wrong comes first: the parser only stumbles over the stream that the taker gave up.
    await taken
    throw error
  }
}

function createParser(headers: IncomingHttpHeaders, fieldBytesMax: number): BusboyInstance {
  try {
    return new Busboy({
      headers: headers as IncomingHttpHeaders & { 'content-type': string },
      isPartAFile: (name) => name === 'file',
      limits: {
        fieldSize: fieldBytesMax,
        fields: fieldsMax,
        files: 1,
        parts: fieldsMax + 1,
        headerPairs: headerPairsMax,
      },
    })
  } catch (cause) {
    throw asBadRequest(cause)
  }
}

function asBadRequest(error: unknown): unknown {
  const known = error instanceof Error && 'code' in error && 'fault' in error
  return known ? error : new BadRequestError(`The form is malformed: ${(error as Error).message}.`, { cause: error })
}
