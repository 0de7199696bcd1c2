import { z } from '../core/schema.ts'
import { balanceConfigSchema } from './balance/config.ts'
import { workersSchema } from './fleet/config.ts'
import {
  clientsConfigSchema,
  compressionConfigSchema,
  memoryConfigSchema,
  sitesConfigSchema,
  trustConfigSchema,
} from './guard/config.ts'
import { http2ConfigSchema } from './http2/config.ts'

const ms = (value: number, text: string) => z.number().int().min(1).max(86_400_000).default(value).describe(text)
const count = (value: number, text: string) => z.number().int().min(1).max(10_000_000).default(value).describe(text)
const bytes = (value: number, text: string) => z.number().int().min(1).max(1_073_741_824).default(value).describe(text)
const port = (value: number, text: string) => z.number().int().min(0).max(65_535).default(value).describe(text)

/** Every key of the gateway's configuration, with its default and its reason. */
export const gatewayConfigSchema = z.object({
  zone: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/)
    .default('lastmile.localhost')
    .describe(
      'Zone under which hash labels live; the bare name shows the pages of the gateway itself. Lower case, no final dot.',
    ),
  workers: workersSchema,
  publicHttpsPort: port(443, 'Port that redirects to HTTPS name. 0 means the port that was bound.'),
  listen: z
    .object({
      host: z.string().default('0.0.0.0').describe('Address to listen on.'),
      httpPort: port(8080, 'Plain HTTP: redirects, ACME challenges, error pages. 0 takes a free port.'),
      httpsPort: port(8443, 'HTTPS: the sites. 0 takes a free port.'),
      plainSites: z
        .boolean()
        .default(false)
        .describe(
          'Serves the sites on the plain port too, for a gateway behind something that ends TLS. Off: it redirects to HTTPS.',
        ),
      reusePort: z
        .boolean()
        .default(false)
        .describe('Lets other processes listen on the same ports. The gateway sets it for its workers by itself.'),
    })
    .prefault({}),
  admin: z
    .object({
      host: z.string().default('127.0.0.1').describe('Address of the admin server; keep it on loopback.'),
      port: port(9090, 'Metrics, health and status. 0 takes a free port.'),
    })
    .prefault({}),
  limits: z
    .object({
      headBytesMax: bytes(16_384, 'All header fields of one request; beyond it 431.'),
      headFieldsMax: count(100, 'Number of header fields of one request; beyond it 431.'),
      uriBytesMax: bytes(8_192, 'The request target; beyond it 414.'),
      connectionsMax: count(20_000, 'Open client connections per listener; more are closed at once.'),
      handshakesMax: count(4_000, 'TLS handshakes in progress per listener; more connections are closed at once.'),
      handshakesWaitingMax: count(1_000, 'Handshakes that wait for a certificate at the same time.'),
      lookupsMax: count(1_000, 'Names that are looked up at the same time.'),
      upstreamHeadBytesMax: bytes(32_768, 'All header fields of one answer of a host; beyond it 502.'),
      replayBytesMax: bytes(
        65_536,
        'Request bodies of known length up to this size are kept, so that the request can go to another host.',
      ),
      holdBytesMax: bytes(
        16_384,
        'Answers up to this size to requests that may be repeated are read whole before they are passed on, so that the loss of a host does not show.',
      ),
      connectionsPerHostMax: count(
        1_024,
        'Connections to one compute host; over HTTP/2, requests under way count like connections.',
      ),
    })
    .prefault({}),
  timeouts: z
    .object({
      headMs: ms(12_000, 'Time for the whole request head; not extended by single bytes.'),
      keepAliveMs: ms(65_000, 'An idle client connection is kept this long.'),
      bodyIdleMs: ms(60_000, 'A request body may pause this long.'),
      answerIdleMs: ms(600_000, 'An answer, an event stream or a WebSocket may be silent this long.'),
      handshakeMs: ms(
        10_000,
        'Time for a TLS handshake, without the wait for a certificate; not extended by single bytes.',
      ),
      certificateWaitMs: ms(20_000, 'A handshake waits this long for a certificate that is being ordered.'),
      lookupMs: ms(10_000, 'Time to look up an unknown name.'),
      connectMs: ms(3_000, 'Time to connect to a compute host.'),
      firstByteMs: ms(
        60_000,
        'Time from the end of the request until the answer of the host begins; a cold start is in it.',
      ),
      hostIdleMs: ms(30_000, 'An idle connection to a compute host is kept this long.'),
      drainMs: ms(10_000, 'At a stop, requests in flight may take this long.'),
    })
    .prefault({}),
  routes: z
    .object({
      sitesMax: count(100_000, 'Host names kept in memory.'),
      unknownMax: count(50_000, 'Names kept as not served, so that scanners cost nothing.'),
      unknownMs: ms(
        5_000,
        'How long a name stays known as not served. Short: owners correct their records and look again.',
      ),
      retryMs: ms(1_000, 'How long a lookup that failed for a passing reason is not repeated.'),
      staleMs: ms(3_600_000, 'How long an expired answer may be used while lookups fail.'),
    })
    .prefault({}),
  http2: http2ConfigSchema,
  balance: balanceConfigSchema.prefault({}),
  sites: sitesConfigSchema,
  clients: clientsConfigSchema.prefault({}),
  trust: trustConfigSchema.prefault({}),
  memory: memoryConfigSchema.prefault({}),
  compression: compressionConfigSchema.prefault({}),
  static: z
    .object({
      cacheBytesMax: bytes(134_217_728, 'Verified blocks kept in memory.'),
      blockBytesMax: bytes(2_097_152, 'One block; 2 MiB is the largest that the network passes on.'),
      depthMax: count(16, 'Levels of a file tree; 174 links per level reach any real file well before.'),
      pathSegmentsMax: count(64, 'Segments of a path.'),
      blockMs: ms(30_000, 'Time to get one block.'),
    })
    .prefault({}),
})

/** The configuration with all defaults filled in. */
export type GatewayConfig = z.output<typeof gatewayConfigSchema>
