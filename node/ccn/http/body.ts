import { BadRequestError, TooLargeError } from '../errors.ts'
import type { Request } from './app.ts'

/** The body as it arrives; empty when there is none. */
export function bodyStream(request: Request): AsyncIterable<Uint8Array> {
  return (request.body as AsyncIterable<Uint8Array> | undefined) ?? nothing()
}

async function* nothing(): AsyncIterable<Uint8Array> {}

/** Reads a whole body. @throws TooLargeError */
export async function readBody(request: Request, bytesMax: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let total = 0
  for await (const chunk of bodyStream(request)) {
    total += chunk.length
    if (total > bytesMax) throw new TooLargeError('request body', bytesMax)
    parts.push(chunk)
  }
  return Buffer.concat(parts)
}

/** Reads a JSON object. @throws TooLargeError, BadRequestError */
export async function readJson(request: Request, bytesMax: number): Promise<Record<string, unknown>> {
  const value = parseJson(await readBody(request, bytesMax))
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new BadRequestError('The request body must be a JSON object.')
}

/** @throws BadRequestError when the bytes are no JSON text */
export function parseJson(bytes: Uint8Array | string): unknown {
  try {
    return JSON.parse(typeof bytes === 'string' ? bytes : new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new BadRequestError('The request body is not JSON.', { cause })
  }
}
