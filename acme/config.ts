import { z } from '../core/schema.ts'

const dayMs = 86_400_000
const hourMs = 3_600_000
const positive = z.number().int().positive()

const limit = (count: number, perMs: number, what: string) =>
  z
    .object({
      count: positive.default(count).describe(`${what}: how many`),
      perMs: positive.default(perMs).describe(`${what}: in how many milliseconds`),
    })
    .prefault({})

/** Settings of the certificate manager, for one certificate authority. */
export const acmeConfigSchema = z.object({
  directoryUrl: z
    .string()
    .startsWith('https://')
    .default('https://acme-v02.api.letsencrypt.org/directory')
    .describe('ACME directory of the certificate authority'),
  caFile: z
    .string()
    .optional()
    .describe("PEM file with the roots to trust for the authority's own HTTPS, in place of the system's"),
  contactEmails: z.array(z.email()).default([]).describe('Addresses given to the authority with the account'),
  termsOfServiceAgreed: z.boolean().default(false).describe("Whether you agree to the authority's terms of service"),
  externalAccount: z
    .object({
      keyId: z.string().min(1).describe('Key identifier from the authority'),
      macKeyBase64Url: z.string().min(1).describe('MAC key from the authority, base64url'),
    })
    .optional()
    .describe('External account binding, where the authority asks for one'),
  profile: z.string().optional().describe('Certificate profile; must be listed in the directory'),
  requestTimeoutMs: positive.default(30_000).describe('Longest wait for one reply of the authority'),
  replyBytesMax: positive
    .default(262_144)
    .describe('Longest reply of the authority; a chain of four certificates has 8 KiB'),
  retryAfterMsMax: positive.default(6 * hourMs).describe('Cap on what a Retry-After of the authority can impose'),
  pollMs: positive.default(200).describe('First wait between two looks at an order; grows to 5 s'),
  orderTimeoutMs: positive.default(120_000).describe('Deadline of one attempt at an order; it is resumed at the next'),
  lockHoldMs: positive
    .default(15_000)
    .describe('How long a lock outlives a killed instance; kept up by heartbeats at a third of it'),
  ordersInFlightMax: positive.default(10).describe('Orders worked on at the same time'),
  ordersQueuedMax: positive.default(1_000).describe('Orders waiting for their turn; more are refused'),
  certificatesMax: positive.default(100_000).describe('Certificates loaded at the start; about 6 KiB each'),
  refusalMs: positive
    .default(20_000)
    .describe('How long a refused name is refused without asking the policy again; half to one and a half of it'),
  refusalsMax: positive.default(10_000).describe('Refused names remembered; the oldest go first'),
  budgets: z
    .object({
      orders: limit(250, 3 * hourMs, 'New orders in all'),
      ordersPerDomain: limit(40, 7 * dayMs, 'New orders per registered domain (taken as the last two labels)'),
      renewals: limit(250, 3 * hourMs, 'Renewals, which never compete with new orders'),
    })
    .prefault({})
    .describe('Own limits, kept below those of the authority and stored beside the certificates'),
})

/** @see acmeConfigSchema */
export type AcmeConfig = z.infer<typeof acmeConfigSchema>
