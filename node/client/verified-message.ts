import { z } from '../../core/schema.ts'
import { type MessageType, parseContent } from '../protocol/content.ts'
import { InvalidFormatError } from '../protocol/errors.ts'
import { parseContentText, parseMessage, type SignedMessage } from '../protocol/message.ts'
import { isPermitted } from '../protocol/permissions.ts'
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
/** Content of an owner's `security` aggregate, for messages that another account signed. */
export type SecurityReader = (owner: string) => Promise<unknown>

/**
 * Checks an envelope that a node gave out. Nothing that the node added to it is believed.
 * @throws MessageError or InvalidShapeError when hash, signature, content or permission are wrong
 */
export async function verifyMessage(
  json: unknown,
  readContent: ContentReader,
  readSecurity: SecurityReader,
): Promise<VerifiedMessage> {
  const message = parseMessage(withoutNullContent(json))
  verifySignature(message)
  const text =
    message.item_content ?? new TextDecoder('utf-8', { fatal: true }).decode(await readContent(message.item_hash))
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
function withoutNullContent(json: unknown): unknown {
  const { item_content, ...rest } = z.record(z.string(), z.unknown()).catch({}).parse(json)
  return item_content === null || item_content === undefined ? rest : { ...rest, item_content }
}

async function checkSender(
  message: SignedMessage,
  content: Record<string, unknown>,
  owner: string,
  readSecurity: SecurityReader,
): Promise<void> {
  if (message.sender.toLowerCase() === owner.toLowerCase()) return
  const act = {
    type: message.type,
    postType: typeof content.type === 'string' ? content.type : undefined,
    aggregateKey: typeof content.key === 'string' ? content.key : undefined,
    channel: message.channel,
  }
  if (isPermitted(message.sender, message.chain, owner, act, await readSecurity(owner))) return
  throw new InvalidFormatError(`The message ${message.item_hash} speaks for ${owner}, who did not allow its sender to.`)
}
