import { join } from 'node:path'
import { z } from '../../core/schema.ts'

const bytes = z.number().int().positive()
const ms = z.number().int().nonnegative()

/** Configuration of a compute host. */
export const crnConfigSchema = z.object({
  listen: z
    .object({
      host: z.string().default('127.0.0.1').describe('Address to listen on.'),
      port: z.number().int().min(0).max(65_535).default(4020).describe('TCP port; 0 takes any free one.'),
    })
    .prefault({}),
  domain: z
    .string()
    .default('localhost')
    .describe('Domain of this host: <base32 of a hash>.<domain> reaches that program by its Host header.'),
  stateDir: z.string().describe('Folder for microVMs and cached code. One host process per folder.'),
  guestDir: z.string().default('.lastmile/guest').describe('Folder with the guest images that deploy/setup builds.'),
  hypervisor: z
    .enum(['auto', 'uml', 'fake'])
    .default('auto')
    .describe(
      'How guests run: auto takes the best that boots a trial guest; fake has no guest kernel and is for tests only.',
    ),
  jailUidBase: z
    .number()
    .int()
    .positive()
    .default(60_100)
    .describe('As root: the first of the host users that guests run as, one per guest.'),
  nodeHash: z.string().default('').describe('Item hash of this node in the network, shown in /status/config.'),
  ownerAddress: z.string().default('').describe('Address of the owner of this node, shown in /status/config.'),
  operatorToken: z
    .string()
    .default('')
    .describe('Bearer token for /control/machine/*/logs; empty turns that route off.'),
  vmsMax: z.number().int().positive().default(32).describe('Programs that run at one time; more get 503 CRN_FULL.'),
  memoryMibMax: z
    .number()
    .int()
    .positive()
    .default(16_384)
    .describe('Nominal guest memory in MiB, running and waiting guests together.'),
  pool: z
    .object({
      python: z.number().int().nonnegative().default(1).describe('Python guests kept booted and waiting for code.'),
      node: z.number().int().nonnegative().default(1).describe('Node guests kept booted and waiting for code.'),
      memoryMib: z
        .number()
        .int()
        .min(64)
        .default(256)
        .describe('Memory of each waiting guest. A program that asks for more gets a guest booted for it.'),
      bootsMax: z
        .number()
        .int()
        .positive()
        .default(2)
        .describe('Guests that boot at one time; booting uses a processor.'),
      retryMs: ms
        .default(1_000)
        .describe('Delay after a failed boot; it doubles with each failure, up to 60 times this.'),
    })
    .prefault({}),
  bootTimeoutMs: ms.default(30_000).describe('Until a booting guest must be ready for code.'),
  startTimeoutMs: ms.default(20_000).describe('Until a program must listen after its code is loaded.'),
  failedStartMs: ms.default(5_000).describe('A program that failed to start is not tried again for this long.'),
  answerTimeoutMs: ms
    .default(30_000)
    .describe('Least time for the head of an answer; "resources.seconds" of the program may extend it.'),
  answerTimeoutMsMax: ms.default(300_000).describe('Most time for the head of an answer, whatever the program asks.'),
  idleMs: ms.default(3_600_000).describe('A program without requests for this long is stopped.'),
  evictIdleMs: ms
    .default(60_000)
    .describe('When the host is full, a program idle for this long makes room for another.'),
  drainMs: ms.default(30_000).describe('After an upgrade, time for requests of the old version to end.'),
  connectionsPerVmMax: z.number().int().min(1).max(1_000).default(256).describe('Connections into one guest.'),
  codeBytesMax: bytes.default(256 * 1_048_576).describe('Largest code file that is accepted.'),
  unpackedBytesMax: bytes.default(512 * 1_048_576).describe('Largest content of a code archive.'),
  unpackedFilesMax: z.number().int().positive().default(20_000).describe('Most entries of a code archive.'),
  cacheBytesMax: bytes.default(4 * 1_073_741_824).describe('Disk for cached code; the least recently used goes first.'),
  logBytesPerSecondMax: bytes
    .default(4 * 1_048_576)
    .describe('A program that prints faster is slowed down, together with its answers.'),
  logBytesMax: bytes.default(262_144).describe('Output kept of each program, in memory.'),
})

export type CrnConfig = z.infer<typeof crnConfigSchema>
/** What a caller must give; everything else has a default. */
export type CrnConfigInput = z.input<typeof crnConfigSchema>

/** Folders inside the state folder. */
export function stateFolders(config: Pick<CrnConfig, 'stateDir'>): { vms: string; code: string } {
  return { vms: join(config.stateDir, 'vms'), code: join(config.stateDir, 'code') }
}
