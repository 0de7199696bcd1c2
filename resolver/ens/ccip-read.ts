import { AppError } from '../../core/errors.ts'
import { z } from '../../core/schema.ts'
import { CcipReadError } from '../errors.ts'
import type { CcipConfig } from './config.ts'
import { vetGateway } from './gateway-address.ts'
import { decodeBatch, encodeBatchResult, type Hex } from './viem-codec.ts'

/** The URL by which the Universal Resolver asks its caller to run several look-ups itself (ENSIP-21). */
const localBatchUrl = 'x-batch-gateway:true'

const answerShape = z.object({ data: z.string().regex(/^0x([0-9a-f]{2})*$/i) })

export interface CcipRequest {
  sender: string
  urls: readonly string[]
  data: Hex
}

/**
 * Asks off-chain gateways (EIP-3668), within all limits of the configuration: scheme, address, number, time, size, no redirects.
 * The next URL is tried on any failure. What comes back is not trusted: the contract verifies it.
 * @throws CcipReadError with what each gateway did; gateways appear by number, their URLs may hold the name
 */
export async function readOffchain(request: CcipRequest, config: CcipConfig, signal: AbortSignal): Promise<Hex> {
  if (config.mode === 'off') {
    throw new CcipReadError('This name is kept off the chain, and asking its gateways is switched off.', {
      hint: 'Set ens.ccip.mode to on to allow it.',
    })
  }
  if (request.urls.includes(localBatchUrl)) return readBatch(request.data, config, signal)
  return askGateways(request, config, signal)
}

async function readBatch(data: Hex, config: CcipConfig, signal: AbortSignal): Promise<Hex> {
  const items = parseBatch(data)
  if (items.length > config.batchMax) {
    throw new CcipReadError(
      `An off-chain look-up asks for ${items.length} things at once; at most ${config.batchMax} are allowed.`,
    )
  }
  const results = items.map(async (item) => {
    try {
      // No batch inside a batch: that would multiply the limits.
      if (item.urls.includes(localBatchUrl)) return { failure: 'nested batch' }
      return { response: await askGateways(item, config, signal) }
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      return { failure: error.code }
    }
  })
  return encodeBatchResult(await Promise.all(results))
}

function parseBatch(data: Hex): ReturnType<typeof decodeBatch> {
  try {
    return decodeBatch(data)
  } catch (cause) {
    throw new CcipReadError('An off-chain look-up holds a malformed batch.', { cause })
  }
}

async function askGateways({ sender, urls, data }: CcipRequest, config: CcipConfig, signal: AbortSignal): Promise<Hex> {
  const failures: string[] = []
  for (const [index, template] of urls.slice(0, config.urlsMax).entries()) {
    signal.throwIfAborted()
    try {
      return await askGateway(template, sender, data, config, signal)
    } catch (error) {
      if (signal.aborted) throw signal.reason
      failures.push(`gateway ${index + 1}: ${(error as Error).message}`)
    }
  }
  const what = failures.length === 0 ? 'the contract names none' : failures.join('; ').slice(0, 500)
  throw new CcipReadError(`No off-chain gateway gave an answer: ${what}.`, {
    hint: 'The owner of the name runs or chose these gateways; trying again may help.',
  })
}

async function askGateway(
  template: string,
  sender: string,
  data: Hex,
  config: CcipConfig,
  signal: AbortSignal,
): Promise<Hex> {
  const usesGet = template.includes('{data}')
  const expandedBytes = template.length + (usesGet ? data.length : 0) + sender.length
  if (expandedBytes > config.urlBytesMax) throw new Error(`its URL is longer than ${config.urlBytesMax} bytes`)
  const url = template.replaceAll('{sender}', sender.toLowerCase()).replaceAll('{data}', data)
  if (url.length > config.urlBytesMax) throw new Error(`its URL is longer than ${config.urlBytesMax} bytes`)
  const limits = { timeoutMs: config.urlTimeoutMs, bodyBytesMax: config.bodyBytesMax, signal }
  const gateway = await vetGateway(url, config.allowInsecure, limits)
  const response = await gateway.request(
    usesGet
      ? { method: 'GET' }
      : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ data, sender }) },
  )
  if (response.status !== 200) throw new Error(`it answered with status ${response.status}`)
  const answer = answerShape.safeParse(parseJson(response.text))
  if (!answer.success) throw new Error('its answer holds no data in hex')
  return answer.data.data as Hex
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
