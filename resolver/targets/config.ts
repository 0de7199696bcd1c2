import { z } from '../../core/schema.ts'

/** Keys of the naming rules. */
export const targetsConfig = z.object({
  zones: z
    .array(z.string().regex(/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/, 'write a lower-case name without final dot'))
    .min(1)
    .default(['gw.test'])
    .describe('Our own zones: <label>.<zone> names a program. The first one is shown in advice'),
  gatewayAddresses: z
    .array(z.string())
    .default([])
    .describe('Public addresses of the gateway, for domains that cannot have a CNAME (apex)'),
  ttlMsMin: z.int().min(0).default(30_000).describe('Shortest time that a decision may be cached'),
  ttlMsMax: z.int().min(0).default(3_600_000).describe('Longest time that a decision may be cached'),
  ensTtlMs: z.int().min(0).default(60_000).describe('Time that a decision by ENS may be cached'),
  lookupMsMax: z.int().min(100).default(9_000).describe('Time for all look-ups of one decision together'),
})

export type TargetsConfig = z.infer<typeof targetsConfig>
