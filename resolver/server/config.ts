import { z } from '../../core/schema.ts'

/** Keys of the DNS server. */
export const dnsServerConfig = z.object({
  host: z.string().default('127.0.0.1').describe('Address to listen on. Loopback unless others shall ask this server'),
  port: z.int().min(0).max(65_535).default(5_353).describe('UDP and TCP port; 0 takes a free one'),
  ttlSeconds: z.int().min(0).max(86_400).default(60).describe('TTL of answers made up here (.eth names)'),
  ethAddresses: z
    .array(z.string())
    .default([])
    .describe('Addresses given for .eth names: those of the gateway. Empty: .eth is refused'),
  forwardInFlightMax: z
    .int()
    .min(1)
    .default(200)
    .describe('Forwarded questions that may be open; more are refused with SERVFAIL'),
  tcpIdleMs: z.int().min(100).default(2_000).describe('A TCP connection without a question for so long is closed'),
  tcpConnectionsMax: z.int().min(1).default(100).describe('Open TCP connections; more are closed at once'),
  tcpPipelineMax: z.int().min(1).default(16).describe('Unanswered questions on one TCP connection; more wait'),
  adminPort: z
    .int()
    .min(0)
    .max(65_535)
    .optional()
    .describe('Loopback port of the HTTP control over zones; 0 takes a free one. Off when absent'),
  adminToken: z
    .string()
    .min(16)
    .optional()
    .describe('Bearer token of the HTTP control; required when adminPort is set'),
})

export type DnsServerConfig = z.infer<typeof dnsServerConfig>
