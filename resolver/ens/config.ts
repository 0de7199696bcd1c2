import { z } from '../../core/schema.ts'

const address = z.string().regex(/^0x[0-9a-fA-F]{40}$/, 'write 0x and 40 hex digits')

/** Keys of the ENS reader. */
export const ensConfig = z.object({
  rpcUrl: z.url().default('http://127.0.0.1:8545').describe('JSON-RPC address of an Ethereum node'),
  chainId: z.int().min(1).default(1).describe('Chain that the node must be on'),
  registry: address.default('0x00000000000C2E074eC69A0dFb2997BA6C7d2e1e').describe('ENS registry'),
  universalResolver: address
    .default('0xeEeEEEeE14D718C2B47D9923Deab1335E144EeEe')
    .describe('ENS Universal Resolver: finds a resolver and asks it in one call'),
  nameWrapper: address
    .optional()
    .describe('Name Wrapper; where it owns a name in the registry, its own owner is asked'),
  rpcTimeoutMs: z.int().min(50).default(4_000).describe('Wait for one JSON-RPC answer'),
  rpcBodyBytesMax: z.int().min(1_024).default(1_048_576).describe('Largest JSON-RPC answer that is read'),
  lookupMsMax: z.int().min(100).default(8_000).describe('Time for one name in all, off-chain gateways included'),
  ttlMs: z.int().min(0).default(60_000).describe('Time that an answer from the chain is believed'),
  entriesMax: z.int().min(1).default(10_000).describe('Names kept in memory; the least recently used go first'),
  ccip: z
    .object({
      mode: z.enum(['on', 'off']).default('on').describe('Whether off-chain gateways may be asked (CCIP-Read)'),
      depthMax: z.int().min(1).max(10).default(4).describe('Off-chain look-ups in a row for one name'),
      urlsMax: z.int().min(1).default(8).describe('Gateway URLs tried for one look-up'),
      batchMax: z.int().min(1).default(8).describe('Look-ups in one batch'),
      urlTimeoutMs: z.int().min(50).default(3_000).describe('Wait for one gateway'),
      bodyBytesMax: z.int().min(1_024).default(262_144).describe('Largest gateway answer that is read'),
      urlBytesMax: z.int().min(256).default(8_192).describe('Longest gateway URL after its placeholders are filled in'),
      revertBytesMax: z.int().min(1_024).default(65_536).describe('Largest revert data that is looked at'),
      allowInsecure: z
        .boolean()
        .default(false)
        .describe('Development only: also http, any port, and addresses of private networks'),
    })
    .prefault({}),
})

export type EnsConfig = z.infer<typeof ensConfig>
export type CcipConfig = EnsConfig['ccip']
