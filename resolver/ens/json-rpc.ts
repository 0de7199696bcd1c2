import { z } from '../../core/schema.ts'
import { EnsRpcError } from '../errors.ts'
import { fetchBounded } from './fetch-bounded.ts'
import type { Hex } from './viem-codec.ts'

export interface RpcConfig {
  rpcUrl: string
  rpcTimeoutMs: number
  rpcBodyBytesMax: number
}

export interface RpcCall {
  method: string
  params: readonly unknown[]
}

/** One result of a batch: the value, or what the contract threw. */
export type RpcResult = { value: Hex } | { revert: Hex }

const hex = z.string().regex(/^0x[0-9a-f]*$/i)
const replyShape = z.object({
  id: z.int(),
  result: hex.optional(),
  error: z.object({ code: z.int(), message: z.string(), data: z.unknown().optional() }).optional(),
})
const batchShape = z.array(replyShape)

/**
 * Sends calls as one JSON-RPC batch, so that they cost one round trip.
 * @throws EnsRpcError when the node is silent, answers garbage, or fails for another reason than a revert
 */
export async function rpcBatch(
  calls: readonly RpcCall[],
  config: RpcConfig,
  signal: AbortSignal,
): Promise<RpcResult[]> {
  const body = JSON.stringify(calls.map((call, id) => ({ jsonrpc: '2.0', id, ...call })))
  const replies = parseReplies(await post(body, config, signal), calls.length)
  return calls.map((call, id) => {
    const reply = replies.get(id)
    if (reply?.result !== undefined) return { value: reply.result as Hex }
    const revert = revertData(reply?.error?.data)
    if (revert !== undefined) return { revert }
    // A revert without data is an error code 3 or a message; the contract had nothing to say.
    if (reply?.error && (reply.error.code === 3 || /revert/i.test(reply.error.message))) return { revert: '0x' }
    const why = reply?.error ? `error ${reply.error.code}: ${reply.error.message.slice(0, 200)}` : 'no result'
    throw new EnsRpcError(`The Ethereum node answers ${call.method} with ${why}.`)
  })
}

async function post(body: string, config: RpcConfig, signal: AbortSignal): Promise<string> {
  try {
    const response = await fetchBounded(config.rpcUrl, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      timeoutMs: config.rpcTimeoutMs,
      bodyBytesMax: config.rpcBodyBytesMax,
      signal,
    })
    if (response.status === 200) return response.text
    throw new EnsRpcError(`The Ethereum node answers with HTTP status ${response.status}.`)
  } catch (cause) {
    if (signal.aborted) throw signal.reason
    if (cause instanceof EnsRpcError) throw cause
    const hint = 'Check the address in ens.rpcUrl and that the node runs.'
    throw new EnsRpcError(`The Ethereum node cannot be asked: ${(cause as Error).message}`, { cause, hint })
  }
}

function parseReplies(text: string, count: number): Map<number, z.infer<typeof replyShape>> {
  let parsed: ReturnType<typeof batchShape.safeParse>
  try {
    parsed = batchShape.safeParse(JSON.parse(text))
  } catch (cause) {
    throw new EnsRpcError('The Ethereum node answers with something that is not JSON.', { cause })
  }
  if (!parsed.success || parsed.data.length > count) {
    throw new EnsRpcError('The Ethereum node answers a batch with something that is no list of results.')
  }
  return new Map(parsed.data.map((reply) => [reply.id, reply]))
}

/** Nodes put revert data at `error.data`, or one level deeper. */
function revertData(data: unknown): Hex | undefined {
  if (typeof data === 'string') return hex.safeParse(data).success ? (data as Hex) : undefined
  if (typeof data === 'object' && data !== null && 'data' in data) return revertData(data.data)
  return undefined
}
