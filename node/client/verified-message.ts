import { z } from '../../core/schema.ts'
import { type MessageType, parseContent } from '../protocol/content.ts'
import { HashMismatchError, InvalidFormatError } from '../protocol/errors.ts'
import { sha256Hex } from '../protocol/item-hash.ts'
import { parseContentText, parseMessage, type SignedMessage } from '../protocol/message.ts'
import { isPermitted, isSameAddress } from '../protocol/permissions.ts'
import { verifySignature } from '../protocol/signature.ts'

/** A message whose hash and signature this client checked itself. */
export interface VerifiedMessage {
  itemHash: string
  type: MessageType
  sender: string
  /** `content.address`: for whom the sender speaks. */
  owner: string
  /** Of a STORE of an IPFS file or directory. */
  cid?: string
  content: Record<string, unknown>
  message: SignedMessage
}

/** Reads content that is not in the envelope, and checks it against its hash. */
export type ContentReader = (itemHash: string) => Promise<Uint8Array>
/** An owner's `security` aggregate, for messages that another account signed. Must rest on the owner's own signatures. */
export type SecurityReader = (owner: string) => Promise<unknown>

/**
 * Checks an envelope that a node gave out. Nothing that the node added to it is believed.
 * @throws HashMismatchError when the content in the envelope is not that of its hash: no honest node gives such a message
 * @throws MessageError or InvalidShapeError when form, signature, content or permission are wrong
 */
export async function verifyMessage(
  json: unknown,
  readContent: ContentReader,
  readSecurity: SecurityReader,
): Promise<VerifiedMessage> {
  const envelope = withoutNullContent(json)
  verifyInlineHash(envelope)
  const message = parseMessage(envelope)
  verifySignature(message)
  const text = message.item_content ?? decodeText(await readContent(message.item_hash))
  const content = parseContentText(text)
  const { address: owner } = parseContent(message.type, content)
  await checkSender(message, content, owner, readSecurity)
  return {
    itemHash: message.item_hash,
    type: message.type,
    sender: message.sender,
    owner,
    ...(message.type === 'STORE' && content.item_type === 'ipfs' ? { cid: String(content.item_hash) } : {}),
    content,
    message,
  }
}

/** Nodes show `item_content: null` where there is none, and `content` that is not signed as such. */
function withoutNullContent(json: unknown): Record<string, unknown> {
  const { item_content, ...rest } = z.record(z.string(), z.unknown()).catch({}).parse(json)
  return item_content === null || item_content === undefined ? rest : { ...rest, item_content }
}

function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new InvalidFormatError('The content of the message is not UTF-8.', { cause })
  }
}

function verifyInlineHash({ item_hash, item_content }: Record<string, unknown>): void {
  if (typeof item_content !== 'string' || typeof item_hash !== 'string') return
  const actual = sha256Hex(item_content)
  if (actual !== item_hash) throw new HashMismatchError(`The message ${item_hash} came with the content of ${actual}.`)
}

async function checkSender(
  message: SignedMessage,
  content: Record<string, unknown>,
  owner: string,
  readSecurity: SecurityReader,
): Promise<void> {
  if (isSameAddress(message.sender, owner)) return
  const act = {
    type: message.type,
    postType: typeof content.type === 'string' ? content.type : undefined,
    aggregateKey: aggregateKey(content),
    channel: message.channel,
  }
  if (isPermitted(message.sender, message.chain, owner, act, await readSecurity(owner))) return
  throw new InvalidFormatError(`The message ${message.item_hash} speaks for ${owner}, who did not allow its sender to.`)
}

/** The key of an AGGREGATE's content, which may be written as a text or as `{ name }`. */
export function aggregateKey({ key }: Readonly<Record<string, unknown>>): string | undefined {
  const name = typeof key === 'object' && key !== null ? (key as { name?: unknown }).name : key
  return typeof name === 'string' ? name : undefined
}

/** Tells which of two messages wins by its signed time; equal times are decided by hash, so that all decide alike. */
export function isLater(a: VerifiedMessage, b: VerifiedMessage | undefined): boolean {
  if (!b) return true
  const [timeA, timeB] = [Number(a.content.time), Number(b.content.time)]
  return timeA > timeB || (timeA === timeB && a.itemHash > b.itemHash)
}
