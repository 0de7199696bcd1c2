import { parseShape, z } from '../../core/schema.ts'
import { CaReplyError } from '../errors.ts'
import type { AcmeReply } from './transport.ts'

const url = z.string().startsWith('https://').max(2_048)
const identifier = z.object({ type: z.string(), value: z.string() })
const text = z.string().max(200)

/** @see RFC 8555 §7.1.1, RFC 9773 §4.1 (renewalInfo), draft-ietf-acme-profiles (profiles) */
export const directoryShape = z.object({
  newNonce: url,
  newAccount: url,
  newOrder: url,
  revokeCert: url.optional(),
  renewalInfo: url.optional(),
  meta: z
    .object({
      termsOfService: z.string().optional(),
      externalAccountRequired: z.boolean().optional(),
      profiles: z.record(z.string(), z.string()).optional(),
    })
    .default({}),
})
export type Directory = z.infer<typeof directoryShape>

/** @see RFC 8555 §7.1.3 */
export const orderShape = z.object({
  status: z.enum(['pending', 'ready', 'processing', 'valid', 'invalid']),
  identifiers: z.array(identifier).min(1).max(200),
  authorizations: z.array(url).max(200),
  finalize: url,
  certificate: url.optional(),
  error: z.unknown().optional(),
})
export type Order = z.infer<typeof orderShape> & { url: string }

const challengeShape = z.object({
  type: text,
  url,
  status: z.enum(['pending', 'processing', 'valid', 'invalid']),
  token: z
    .string()
    .regex(/^[\w-]{1,256}$/)
    .optional(),
  error: z.unknown().optional(),
})
export type Challenge = z.infer<typeof challengeShape>

/** @see RFC 8555 §7.1.4 */
export const authorizationShape = z.object({
  status: z.enum(['pending', 'valid', 'invalid', 'deactivated', 'expired', 'revoked']),
  identifier,
  challenges: z.array(challengeShape).max(20),
  wildcard: z.boolean().optional(),
})
export type Authorization = z.infer<typeof authorizationShape> & { url: string }

const instant = z.iso.datetime({ offset: true }).transform((value) => Date.parse(value))

/** @see RFC 9773 §4.2 */
export const renewalInfoShape = z.object({ suggestedWindow: z.object({ start: instant, end: instant }) })

/** Reads a reply's JSON as `shape`. @throws CaReplyError naming `what` */
export function parseReply<T>(shape: z.ZodType<T>, reply: AcmeReply, what: string): T {
  try {
    return parseShape(shape, JSON.parse(reply.body.toString()), what)
  } catch (cause) {
    throw new CaReplyError(`The certificate authority sent no usable ${what}.`, {
      cause,
      hint: 'Check that directoryUrl is an ACME directory; the cause names the field.',
    })
  }
}

/** The `Location` of a created resource. @throws CaReplyError when it is missing or not https */
export function locationOf(reply: AcmeReply, what: string): string {
  const parsed = url.safeParse(reply.headers.location)
  if (parsed.success) return parsed.data
  throw new CaReplyError(`The certificate authority gave no address for the ${what}.`)
}
