import { type Clock, systemClock } from '../../../core/clock.ts'
import { silentLog } from '../../../core/log.ts'
import { createMetrics } from '../../../core/metrics.ts'
import { seededRandom } from '../../../core/random.ts'
import type { MessageType } from '../../protocol/content.ts'
import { parseMessage, type SignedMessage } from '../../protocol/message.ts'
import { ethereumSigner, type Signer, signMessage } from '../../protocol/signer.ts'
import { type Ccn, startCcn } from '../ccn.ts'
import { type CcnConfig, ccnConfigSchema } from '../config.ts'
import { createMemoryFileStore } from '../files/memory-file-store.ts'
import type { FileStore, MessageStore } from '../ports.ts'
import { createMemoryMessageStore } from '../store/memory-message-store.ts'

export interface TestCcn extends Ccn {
  store: MessageStore
  files: FileStore
  /** Publishes and gives status and answer. */
  publish(message: unknown, options?: { sync?: boolean }): Promise<TestAnswer>
  get(path: string): Promise<TestAnswer>
  /** Uploads a form; `metadata` first, as the network's SDK does. */
  upload(path: string, file: Blob, message?: SignedMessage): Promise<TestAnswer>
}

export interface TestAnswer {
  status: number
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked into freely by tests.
  body: any
}

/** Starts a node on a free port, in memory unless stores are given. */
export async function startTestCcn(
  options: { config?: Record<string, unknown>; store?: MessageStore; files?: FileStore; clock?: Clock } = {},
): Promise<TestCcn> {
  const store = options.store ?? createMemoryMessageStore()
  const files = options.files ?? createMemoryFileStore()
  const config: CcnConfig = ccnConfigSchema.parse({ port: 0, ...options.config })
  const clock = options.clock ?? systemClock
  const ports = { store, files, clock, random: seededRandom(1), log: silentLog, metrics: createMetrics() }
  const ccn = await startCcn(config, ports)
  const ask = async (path: string, init?: RequestInit): Promise<TestAnswer> => {
    const response = await fetch(ccn.url + path, init)
    const text = await response.text()
    return {
      status: response.status,
      body: response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : text,
    }
  }
  return Object.assign(ccn, {
    store,
    files,
    get: (path: string) => ask(path),
    publish: (message: unknown, { sync = false } = {}) =>
      ask('/api/v0/messages', { method: 'POST', body: JSON.stringify({ sync, message }) }),
    upload(path: string, file: Blob, message?: SignedMessage) {
      const form = new FormData()
      if (message) form.append('metadata', JSON.stringify({ message, sync: false }))
      form.append('file', file)
      return ask(path, { method: 'POST', body: form })
    },
  })
}

/** The account that tests publish as, and another one. */
export const owner = ethereumSigner(Buffer.alloc(32, 0x11))
export const stranger = ethereumSigner(Buffer.alloc(32, 0x22))

/** Signs a message whose address and time are filled in. */
export async function sign(
  type: MessageType,
  content: Record<string, unknown>,
  options: { signer?: Signer; time?: number } = {},
): Promise<SignedMessage> {
  const { signer = owner, time = 1_000 } = options
  const message = await signMessage(signer, { type, content: { address: signer.address, time, ...content }, time })
  return parseMessage(message)
}

/** What a PROGRAM needs at least. */
export function programContent(codeHash: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    type: 'vm-function',
    allow_amend: true,
    code: { encoding: 'zip', entrypoint: 'main:app', ref: codeHash, use_latest: true },
    runtime: { ref: '63f07193e6ee9d207b7d1fcf8286f9aee34e6f12f101d2ec77c1229f92964696', use_latest: true, comment: '' },
    on: { http: true },
    environment: { internet: true },
    ...more,
  }
}
