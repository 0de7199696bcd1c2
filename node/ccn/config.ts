import { z } from '../../core/schema.ts'

const mebibyte = 1_048_576

/** Configuration of a core channel node. */
export const ccnConfigSchema = z.object({
  host: z.string().default('127.0.0.1').describe('Address to listen on.'),
  port: z.number().int().min(0).max(65_535).default(4024).describe('TCP port of the HTTP API; 0 takes a free one.'),
  stateDir: z.string().default('ccn').describe('Folder that keeps messages (SQLite) and files.'),
  peers: z
    .array(z.url())
    .max(64)
    .default([])
    .describe('Base URLs of other core channel nodes, asked for content that is missing here.'),
  limits: z
    .object({
      bodyBytesMax: z.number().int().min(1_024).default(mebibyte).describe('Largest request body, uploads excepted.'),
      contentBytesMax: z
        .number()
        .int()
        .min(1_024)
        .default(mebibyte)
        .describe('Largest message content kept as a file.'),
      fileBytesMax: z
        .number()
        .int()
        .default(25 * mebibyte)
        .describe('Largest upload without a signed STORE message.'),
      signedFileBytesMax: z
        .number()
        .int()
        .default(100 * mebibyte)
        .describe('Largest upload with a signed STORE message.'),
      ipfsFileBytesMax: z
        .number()
        .int()
        .default(1_024 * mebibyte)
        .describe('Largest IPFS upload with a signed STORE message.'),
      carBytesMax: z
        .number()
        .int()
        .default(4_096 * mebibyte)
        .describe('Largest CAR upload with a signed STORE message.'),
      messagesWaitingMax: z
        .number()
        .int()
        .min(1)
        .default(1_000)
        .describe('Messages being checked at one time; more get 503.'),
      pendingMax: z.number().int().min(1).default(10_000).describe('Messages kept until what they refer to arrives.'),
      attemptsMax: z.number().int().min(1).default(10).describe('Attempts before a pending message is rejected.'),
      syncWaitMs: z
        .number()
        .int()
        .min(0)
        .default(30_000)
        .describe('How long a publication with sync waits for a pending message.'),
      subscribersMax: z
        .number()
        .int()
        .min(0)
        .default(1_000)
        .describe('Open WebSocket subscriptions; more are closed with 1013.'),
      subscriberBytesMax: z
        .number()
        .int()
        .default(4 * mebibyte)
        .describe('Bytes a slow subscriber may leave unread before it is closed.'),
      unpinnedKeepMs: z.number().int().default(86_400_000).describe('How long a file without a STORE message is kept.'),
      peerTimeoutMs: z.number().int().min(1).default(5_000).describe('How long one peer may take to start its answer.'),
    })
    .prefault({}),
})
export type CcnConfig = z.infer<typeof ccnConfigSchema>
export type CcnLimits = CcnConfig['limits']
