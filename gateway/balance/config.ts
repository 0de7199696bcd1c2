import { z } from '../../core/schema.ts'

const ms = (value: number, text: string) => z.number().int().min(1).max(86_400_000).default(value).describe(text)
const count = (value: number, text: string) => z.number().int().min(1).max(10_000_000).default(value).describe(text)
const share = (value: number, text: string) => z.number().min(0).max(1).default(value).describe(text)

/** The keys under `balance`, each with its default and its reason. */
export const balanceConfigSchema = z.object({
  attemptsMax: count(4, 'Hosts tried for one request.'),
  retryShare: share(0.2, 'Retries allowed as a share of the requests of the last ten seconds.'),
  retryFloor: count(
    64,
    'Retries always allowed in ten seconds, so that the loss of a host is covered at low traffic too.',
  ),
  hedgeShare: share(
    0.05,
    'Second requests sent because the first is late, as a share of the requests of the last ten seconds. Apart from retries, so that neither uses up the other.',
  ),
  hedgeFloor: count(4, 'Such second requests always allowed in ten seconds.'),
  hedgeMinMs: ms(20, 'No second request sooner than this: below it, waiting costs less than asking twice.'),
  ejectAfter: count(
    3,
    'Failures in a row after which a host gets no traffic of the program. A refused connection counts at once.',
  ),
  ejectMs: ms(1_000, 'First pause of an ejected host before it may come back; doubles each time.'),
  ejectMaxMs: ms(10_000, 'Longest pause of an ejected host.'),
  ejectShareMax: share(
    0.5,
    'Share of the hosts of a program that failed requests may take out, one at least. What a probe has found down is out regardless.',
  ),
  outlierRequestsMin: count(20, 'Attempts at a host before its share of failures says anything.'),
  outlierFailureShare: share(
    0.3,
    'A host that fails this share of attempts, and three times that of the other hosts, is ejected.',
  ),
  probeMs: ms(2_000, 'Time for a probe.'),
  checkMs: ms(
    5_000,
    'How often a host in use is probed, give or take a quarter. One that answered a request within that time needs no probe.',
  ),
  checkFailures: count(2, 'Probes in a row that must fail before a host that no request has complained of is out.'),
  checkIdleMs: ms(60_000, 'A host without a request for this long is not probed.'),
  drainedHosts: z
    .array(z.string().min(1).max(200))
    .max(10_000)
    .default([])
    .describe(
      'Ids of hosts that get no new requests; what they are answering goes on. Set it and reload before a host is taken down.',
    ),
  slowStartMs: ms(
    10_000,
    'Time over which a host that is new or came back is brought to its full share: its caches are cold.',
  ),
  uptimeMargin: share(0.02, 'Uptimes that differ by less count as equal.'),
  latencyHalfLifeMs: ms(5_000, 'A measured latency counts half after this time without a new one.'),
  spillInFlight: count(
    64,
    'Waiting requests at the chosen host from which on hosts of another zone, or one that has to start the program, are considered.',
  ),
  coldStartMs: ms(10_000, 'A start that takes longer sends further requests to another host.'),
  locality: z
    .string()
    .max(64)
    .default('')
    .describe('Zone of this gateway, as the list of hosts names zones; hosts of the same are preferred. Empty: none.'),
  hostsMs: ms(1_000, 'How long the list of hosts of a program is used before it is asked for again.'),
  shrinkShareMax: share(
    0.3,
    'A list of hosts that loses a larger share of its members at once is not believed for a while: rather the list is broken than so many hosts.',
  ),
  shrinkHoldMs: ms(600_000, 'How long such a list is not believed.'),
  warmMs: ms(60_000, 'How long a host that answered counts as running the program.'),
})

/** The configuration of balancing with all defaults filled in. */
export type BalanceConfig = z.output<typeof balanceConfigSchema>
