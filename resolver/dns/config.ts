import { z } from '../../core/schema.ts'

/** Keys of the stub client. */
export const stubConfig = z.object({
  upstreams: z
    .array(z.string().regex(/^(\[[0-9a-f:.]+\]|[^:[\]]+):\d{1,5}$/i, 'write host:port, for example 127.0.0.1:53'))
    .min(1)
    .default(['127.0.0.1:53'])
    .describe('DNS servers to ask, as IP address and port, in order of preference'),
  timeoutMs: z.int().min(10).default(1_500).describe('Wait for one answer from one server'),
  attempts: z.int().min(1).max(10).default(3).describe('Questions sent in all before giving up; servers take turns'),
})

/** Keys of the DNS cache. Bounds follow RFC 2308, RFC 9520 and the naming rules. */
export const dnsCacheConfig = z.object({
  entriesMax: z.int().min(1).default(10_000).describe('Answers kept; the least recently used go first'),
  ttlMsMin: z.int().min(0).default(30_000).describe('Shortest time that an answer with records is believed'),
  ttlMsMax: z.int().min(0).default(3_600_000).describe('Longest time that an answer with records is believed'),
  negativeTtlMsMin: z.int().min(0).default(5_000).describe('Shortest time that an absence is believed'),
  negativeTtlMsMax: z.int().min(0).default(300_000).describe('Longest time that an absence is believed'),
  failureTtlMsMin: z
    .int()
    .min(0)
    .default(1_000)
    .describe('First wait after a failed lookup; doubles with each failure'),
  failureTtlMsMax: z.int().min(0).default(30_000).describe('Longest wait after failed lookups'),
})

export type StubConfig = z.infer<typeof stubConfig>
export type DnsCacheConfig = z.infer<typeof dnsCacheConfig>
