import { z } from '../core/schema.ts'

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
  publicHttpsPort: port(443, 'Port that redirects to HTTPS name. 0 means the port that was bound.'),
  listen: z
    .object({
      host: z.string().default('0.0.0.0').describe('Address to listen on.'),
      httpPort: port(8080, 'Plain HTTP: redirects, ACME challenges, error pages. 0 takes a free port.'),
      httpsPort: port(8443, 'HTTPS: the sites. 0 takes a free port.'),
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
      handshakesWaitingMax: count(1_000, 'Handshakes that wait for a certificate at the same time.'),
      lookupsMax: count(1_000, 'Names that are looked up at the same time.'),
      upstreamHeadBytesMax: bytes(32_768, 'All header fields of one answer of a host; beyond it 502.'),
      replayBytesMax: bytes(
        65_536,
        'Bodies of PUT and DELETE up to this size are kept, so that they can go to another host.',
      ),
      holdBytesMax: bytes(
        16_384,
        'Answers up to this size to requests that may be repeated are read whole before they are passed on, so that the loss of a host does not show.',
      ),
      connectionsPerHostMax: count(1_024, 'Connections to one compute host.'),
    })
    .prefault({}),
  timeouts: z
    .object({
      headMs: ms(12_000, 'Time for the whole request head; not extended by single bytes.'),
      keepAliveMs: ms(65_000, 'An idle client connection is kept this long.'),
      bodyIdleMs: ms(60_000, 'A request body may pause this long.'),
      answerIdleMs: ms(600_000, 'An answer, an event stream or a WebSocket may be silent this long.'),
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
  balance: z
    .object({
      attemptsMax: count(4, 'Hosts tried for one request.'),
      retryShare: z
        .number()
        .min(0)
        .max(1)
        .default(0.2)
        .describe('Retries allowed as a share of the requests of the last ten seconds.'),
      retryFloor: count(
        64,
        'Retries always allowed in ten seconds, so that the loss of a host is covered at low traffic too.',
      ),
      ejectAfter: count(
        3,
        'Failures in a row after which a host gets no traffic. A refused connection counts at once.',
      ),
      ejectMs: ms(1_000, 'First pause of an ejected host before it is probed; doubles each time.'),
      ejectMaxMs: ms(10_000, 'Longest pause between probes of an ejected host.'),
      probeMs: ms(2_000, 'Time for a probe.'),
      uptimeMargin: z.number().min(0).max(1).default(0.02).describe('Uptimes that differ by less count as equal.'),
      latencyHalfLifeMs: ms(5_000, 'A measured latency counts half after this time without a new one.'),
      hostsMs: ms(1_000, 'How long the list of hosts of a program is used before it is asked for again.'),
      warmMs: ms(60_000, 'How long a host that answered counts as running the program.'),
    })
    .prefault({}),
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
