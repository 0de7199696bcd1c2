import { z } from '../../core/schema.ts'

/** Configuration of the network client. */
export const clientConfigSchema = z.object({
  ccnUrls: z
    .array(z.url())
    .min(1)
    .describe('Base URLs of core channel nodes, best first; the next is asked when one fails or lies.'),
  corechannelAddress: z
    .string()
    .default('0xa1B3bb7d2332383D96b7796B908fB7f7F3c2Be10')
    .describe('Account whose aggregate "corechannel" lists the compute hosts.'),
  allowPrivateHosts: z
    .boolean()
    .default(false)
    .describe('Accept hosts at private and loopback addresses. For a network on one machine.'),
  timeoutMs: z.number().int().min(1).default(5_000).describe('How long a node may take to start its answer.'),
  answerTimeoutMs: z
    .number()
    .int()
    .min(1)
    .default(10_000)
    .describe('How long a node may take for a whole answer: a message, list, aggregate or block.'),
  silenceTimeoutMs: z
    .number()
    .int()
    .min(1)
    .default(10_000)
    .describe('How long a node may pause within a file before the next one is asked for the rest.'),
  messageKeepMs: z.number().int().min(0).default(30_000).describe('How long the status of a message is believed.'),
  unsettledKeepMs: z
    .number()
    .int()
    .min(0)
    .default(1_500)
    .describe('How long a message is believed to be unknown or pending.'),
  hostsKeepMs: z.number().int().min(0).default(10_000).describe('How long the list of hosts is believed.'),
  executionsPollMs: z
    .number()
    .int()
    .min(10)
    .default(2_000)
    .describe('How often hosts are asked what they run, while anyone asks.'),
  pingMs: z
    .number()
    .int()
    .min(10)
    .default(25_000)
    .describe('A subscription is asked for a sign of life this often, and made anew when it gave none.'),
  pollIdleMs: z
    .number()
    .int()
    .min(0)
    .default(60_000)
    .describe('Hosts are no longer asked after this time without interest.'),
})
