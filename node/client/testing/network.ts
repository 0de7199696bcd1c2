import { systemClock as clock } from '../../../core/clock.ts'
import { silentLog as log } from '../../../core/log.ts'
import { seededRandom } from '../../../core/random.ts'
import type { MessageType } from '../../protocol/content.ts'
import { parseMessage, type SignedMessage } from '../../protocol/message.ts'
import { ethereumSigner, type Signer, signMessage } from '../../protocol/signer.ts'
import { createNetworkClient, type NetworkClient, type NetworkClientOptions } from '../network-client.ts'
import type { FakeCcn } from './fake-ccn.ts'

/** Whose messages the tests read. */
export const owner = ethereumSigner(Buffer.alloc(32, 0x11))
/** Somebody else. */
export const stranger = ethereumSigner(Buffer.alloc(32, 0x22))

/** A client of these nodes, the first one asked first. */
export function connect(ccns: readonly FakeCcn[], more: Partial<NetworkClientOptions> = {}): NetworkClient {
  const ccnUrls = ccns.map(({ url }) => url)
  return createNetworkClient({ ccnUrls, clock, random: seededRandom(1), log, timeoutMs: 2_000, ...more })
}

/** A message signed by the owner unless told otherwise; `time` is both that of the envelope and of the content. */
export async function sign(
  type: MessageType,
  content: Record<string, unknown>,
  options: { signer?: Signer; time?: number } = {},
): Promise<SignedMessage> {
  const { signer = owner, time = 1_000 } = options
  return parseMessage(await signMessage(signer, { type, content: { address: signer.address, time, ...content }, time }))
}

export function programContent(codeHash: string): Record<string, unknown> {
  return {
    type: 'vm-function',
    allow_amend: false,
    code: { encoding: 'zip', entrypoint: 'main:app', ref: codeHash },
    runtime: { ref: codeHash },
    on: { http: true },
    environment: {},
  }
}

export async function text(source: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const part of source) parts.push(part)
  return Buffer.concat(parts).toString()
}

/** Resolves once `check` says yes. @throws Error after 5 s */
export async function eventually(check: () => boolean | Promise<boolean>): Promise<void> {
  const startedAt = performance.now()
  while (!(await check())) {
    if (performance.now() - startedAt > 5_000) throw new Error('Nothing happened within 5 s.')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
