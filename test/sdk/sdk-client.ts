import { AuthenticatedAlephHttpClient } from '@aleph-sdk/client'
import { importAccountFromPrivateKey as importEthereum } from '@aleph-sdk/ethereum'
import {
  BaseMessageClient,
  broadcast,
  buildMessage,
  Encoding,
  ItemType,
  MessageType,
  prepareAlephMessage,
} from '@aleph-sdk/message'
import { newAccount as newSolana } from '@aleph-sdk/solana'

/** What the SDK hands back of a published message. */
export interface PublishedBySdk {
  item_hash: string
  item_type: string
  item_content?: string | undefined
  sender: string
  chain: string
  signature: string
  type: string
  time: number
  channel?: string | undefined
}

export interface ProgramToPublish {
  code: Uint8Array
  entrypoint: string
  /** `runtime.ref`; the SDK's own default (Python) when absent. */
  runtime?: string
  variables?: Record<string, string>
}

const channel = 'LASTMILE-TEST'

/** The network's published SDK, used as its documentation says, against one node. */
export type SdkClient = ReturnType<typeof createSdkClient>

/** @param options.privateKey - 64 hex digits; only for ETH. Absent: a new key */
export function createSdkClient(options: { url: string; chain: 'ETH' | 'SOL'; privateKey: string }) {
  const account = options.chain === 'ETH' ? importEthereum(options.privateKey) : newSolana().account
  const client = new AuthenticatedAlephHttpClient(account, options.url)
  const published = (message: unknown): PublishedBySdk => message as PublishedBySdk
  return {
    address: account.address,
    client,
    async post(content: Record<string, unknown>): Promise<PublishedBySdk> {
      return published(await client.createPost({ postType: 'lastmile-check', content, channel, sync: true }))
    },
    async aggregate(key: string, content: Record<string, unknown>): Promise<PublishedBySdk> {
      return published(await client.createAggregate({ key, content, channel, sync: true }))
    },
    /** A Blob, since this SDK turns a Buffer into text on its way into the form. */
    async store(bytes: Uint8Array): Promise<PublishedBySdk> {
      return published(
        await client.createStore({ fileObject: blobOf(bytes), storageEngine: ItemType.storage, channel, sync: true }),
      )
    },
    /** A new version of a stored file. The SDK's own `createStore` cannot set `ref`, its building blocks can. */
    async storeVersion(ref: string, bytes: Uint8Array, fileHash: string): Promise<PublishedBySdk> {
      await uploadFile(options.url, bytes)
      const time = Date.now() / 1_000
      const content = { address: account.address, item_type: ItemType.storage, item_hash: fileHash, time, ref }
      const built = buildMessage(
        { account, channel, timestamp: time, storageEngine: ItemType.inline, content },
        MessageType.store,
      )
      const hashed = await prepareAlephMessage({ message: built, apiServer: options.url })
      const { message } = await broadcast({ message: hashed, account, apiServer: options.url, sync: true })
      return published(message)
    },
    async pin(cid: string): Promise<PublishedBySdk> {
      return published(await client.createStore({ fileHash: cid, storageEngine: ItemType.ipfs, channel, sync: true }))
    },
    async program({ code, entrypoint, runtime, variables }: ProgramToPublish): Promise<PublishedBySdk> {
      return published(
        await client.createProgram({
          file: blobOf(code),
          storageEngine: ItemType.storage,
          entrypoint,
          encoding: Encoding.zip,
          channel,
          ...(runtime === undefined ? {} : { runtime }),
          ...(variables ? { variables } : {}),
        }),
      )
    },
    /** A program whose code is stored already. */
    async programOf(
      programRef: string,
      entrypoint: string,
      variables: Record<string, string> = {},
    ): Promise<PublishedBySdk> {
      return published(
        await client.createProgram({ programRef, entrypoint, encoding: Encoding.zip, channel, variables }),
      )
    },
    async instance(): Promise<PublishedBySdk> {
      return published(await client.createInstance({ channel, sync: true }))
    },
    async forget(itemHash: string): Promise<PublishedBySdk> {
      return published(await client.forget({ hashes: [itemHash], reason: 'a check', channel, sync: true }))
    },
    /** Subscribes to new messages of this account, as the SDK does it. */
    subscribe: () =>
      new BaseMessageClient(options.url, options.url.replace(/^http/, 'ws')).getMessagesSocket({
        addresses: [account.address],
      }),
  }
}

function blobOf(bytes: Uint8Array): Blob {
  return new Blob([bytes as Uint8Array<ArrayBuffer>])
}

async function uploadFile(url: string, bytes: Uint8Array): Promise<void> {
  const form = new FormData()
  form.append('file', blobOf(bytes))
  const response = await fetch(`${url}/api/v0/storage/add_file`, { method: 'POST', body: form })
  if (!response.ok) throw new Error(`upload refused: ${response.status} ${await response.text()}`)
}
