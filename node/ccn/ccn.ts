import { mkdir } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { Metrics } from '../../core/metrics.ts'
import type { Random } from '../../core/random.ts'
import { storeTag } from './apply/store.ts'
import type { CcnConfig } from './config.ts'
import { contentFields } from './content-fields.ts'
import { createContentSource } from './content-source.ts'
import { openDirectoryFileStore } from './files/directory-file-store.ts'
import { createApp } from './http/app.ts'
import { addFileRoutes } from './http/routes-files.ts'
import { addInfoRoutes } from './http/routes-info.ts'
import { addMessageRoutes } from './http/routes-messages.ts'
import { addPublishRoutes, createPublisher } from './http/routes-publish.ts'
import { addUploadRoutes } from './http/routes-uploads.ts'
import { addSubscriptions, type Subscriptions } from './http/subscribe.ts'
import { createCcnMetrics } from './metrics.ts'
import { createHttpPeers } from './peers.ts'
import { PendingMessages } from './pending-messages.ts'
import type { FileStore, MessageStore, StagedFile, StoredMessage } from './ports.ts'
import { MessageProcessor } from './process-message.ts'
import { openSqliteMessageStore } from './store/sqlite-message-store.ts'

/** What a core channel node needs from outside. */
export interface CcnPorts {
  store: MessageStore
  files: FileStore
  clock: Clock
  random: Random
  log: Log
  metrics: Metrics
}

/** A running core channel node. Disposing it stops the API and waits for messages being applied; the stores stay open. */
export interface Ccn extends AsyncDisposable {
  /** Base URL of the HTTP API, with the port that was really taken. */
  readonly url: string
  readonly port: number
}

const version = 'lastmile-0.1.0'
const cleanEveryMs = 3_600_000
const cleanFilesMax = 1_000

/** Starts a core channel node; resolves when its API answers. */
export async function startCcn(config: CcnConfig, ports: CcnPorts): Promise<Ccn> {
  const { store, files, clock, random, log } = ports
  const { limits } = config
  const metrics = createCcnMetrics(ports.metrics)
  await using stack = new AsyncDisposableStack()
  const peers = createHttpPeers(config.peers, { clock, random, metrics, timeoutMs: limits.peerTimeoutMs })
  const content = createContentSource(files, peers, limits)
  const pending = new PendingMessages(store, clock, log, (size) => metrics.pending.set(size))
  let subscriptions: Subscriptions | undefined

  const onProcessed = (stored: StoredMessage): void => {
    subscriptions?.notify(stored)
    pending.arrived(
      stored.message.item_hash,
      ...(stored.message.type === 'STORE' ? [storeTag(stored.message.item_hash, stored.content)] : []),
    )
    if (contentFields(stored.content).key !== undefined) pending.arrived(contentFields(stored.content).key as string)
  }
  const processor = new MessageProcessor({
    store,
    content,
    clock,
    random,
    log,
    metrics,
    limits,
    onProcessed,
    onPending: (stored) => pending.add(stored),
    pendingCount: () => pending.size,
  })
  const keep = async (staged: StagedFile): Promise<void> => {
    await processor.exclusive(async () => {
      await staged.commit()
      await store.apply([{ kind: 'file', hash: staged.hash, sizeBytes: staged.sizeBytes, atMs: clock.nowMs() }])
    })
    pending.arrived(staged.hash)
  }
  const publisher = createPublisher((message, staged) => processor.process(message, staged), pending, limits)

  const app = createApp(log, metrics)
  addPublishRoutes(app, publisher, limits)
  addUploadRoutes(app, { files, publisher, limits, keep })
  addMessageRoutes(app, store)
  addFileRoutes(app, store, files, content, limits)
  addInfoRoutes(app, store, ports.metrics, limits, version)
  stack.defer(() => app.close())
  subscriptions = stack.use(addSubscriptions(app, { store, clock, metrics, limits }))
  stack.use(pending)
  await pending.start((message) => processor.process(message))
  stack.use(cleanUnpinned(ports, processor, limits.unpinnedKeepMs))
  await app.listen({ host: config.host, port: config.port })
  const { port } = app.server.address() as AddressInfo
  log.info('The core channel node serves.', { port })
  const running = stack.move()
  return { url: `http://${config.host}:${port}`, port, [Symbol.asyncDispose]: () => running.disposeAsync() }
}

/** Drops files that no STORE has pinned for `keepMs`. Runs between messages, so a file being pinned is never dropped. */
function cleanUnpinned(
  { store, files, clock, log }: CcnPorts,
  processor: MessageProcessor,
  keepMs: number,
): AsyncDisposable {
  let running: Promise<void> = Promise.resolve()
  const clean = async (): Promise<void> => {
    const hashes = await store.ask({ kind: 'unpinned', beforeMs: clock.nowMs() - keepMs, limit: cleanFilesMax })
    for (const hash of hashes) {
      await processor.exclusive(async () => {
        if ((await store.file(hash))?.pins.length !== 0) return
        await store.apply([{ kind: 'dropFile', hash }])
        await files.remove(hash)
      })
    }
    if (hashes.length > 0) log.info('Dropped files without a STORE message.', { count: hashes.length })
  }
  const turn = (): void => {
    running = clean().catch((error: unknown) =>
      log.error('Cleaning files failed.', { reason: (error as Error).message }),
    )
    timer = clock.schedule(cleanEveryMs, turn)
  }
  let timer = clock.schedule(cleanEveryMs, turn)
  return {
    async [Symbol.asyncDispose]() {
      timer[Symbol.dispose]()
      await running
    },
  }
}

/** Opens the durable stores of a node in `stateDir`. Dispose after the node. */
export async function openCcnStores(
  stateDir: string,
): Promise<{ store: MessageStore; files: FileStore } & AsyncDisposable> {
  await mkdir(stateDir, { recursive: true })
  const store = openSqliteMessageStore(join(stateDir, 'messages.sqlite'))
  const files = await openDirectoryFileStore(join(stateDir, 'files'))
  return { store, files, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() }
}
