import { messageErrorCodes } from '../../protocol/errors.ts'
import { hashKind } from '../../protocol/item-hash.ts'
import { contentFields } from '../content-fields.ts'
import { DependencyMissingError, FileUnavailableError, PermissionDeniedError, RuleBrokenError } from '../errors.ts'
import type { Change, FileTag, StoredMessage } from '../ports.ts'
import type { Incoming, MessageState } from './state.ts'

/** The tag that a STORE sets (protocol 2.3): its own hash, the hash it updates, or `<owner>/<ref>`. */
export function storeTag(itemHash: string, content: Readonly<Record<string, unknown>>): string {
  const { ref, owner } = contentFields(content)
  if (ref === undefined) return itemHash
  return hashKind(ref) ? ref : `${owner}/${ref}`
}

/** A STORE pins its file and moves its tag there, unless a later STORE holds it. @throws MessageError */
export function applyStore({ message, raw, content }: Incoming<'STORE'>, state: MessageState): Change[] {
  if (content.payment?.type === 'superfluid') {
    throw new RuleBrokenError(messageErrorCodes.paymentRefused, 'A STORE cannot be paid by a stream (superfluid).')
  }
  checkRef(content.address, content.ref, state)
  const sizeBytes = state.files.get(content.item_hash)
  if (sizeBytes === undefined) {
    throw new FileUnavailableError(
      `The file ${content.item_hash} is neither here nor at a peer.`,
      [content.item_hash],
      {
        hint: 'Upload it to /api/v0/storage/add_file or /api/v0/ipfs/add_file; this message then passes by itself.',
      },
    )
  }
  const tag = storeTag(message.item_hash, raw)
  const value: FileTag = { itemHash: message.item_hash, fileHash: content.item_hash, time: content.time }
  const changes: Change[] = [
    { kind: 'file', hash: content.item_hash, sizeBytes, atMs: state.nowMs },
    { kind: 'pin', fileHash: content.item_hash, itemHash: message.item_hash },
  ]
  if (isLater(value, state.tags.get(tag))) changes.push({ kind: 'fileTag', tag, value })
  return changes
}

function isLater(value: FileTag, held: FileTag | undefined): boolean {
  if (!held || value.time > held.time) return true
  return value.time === held.time && value.itemHash > held.itemHash
}

function checkRef(owner: string, ref: string | null | undefined, state: MessageState): void {
  if (!ref || !hashKind(ref)) return
  const target = state.messages.get(ref)
  if (target?.status !== 'processed' || target.message.type !== 'STORE') {
    throw new DependencyMissingError(messageErrorCodes.storeRefNotFound, `The STORE ${ref} to update is not here.`, [
      ref,
    ])
  }
  const original = contentFields(target.content)
  if (original.ref !== undefined) {
    throw new RuleBrokenError(messageErrorCodes.storeUpdateOfUpdate, `The STORE ${ref} is an update itself.`, {
      hint: 'Name the first version in "ref".',
    })
  }
  if (original.owner?.toLowerCase() !== owner.toLowerCase()) {
    throw new PermissionDeniedError(`The STORE ${ref} belongs to ${original.owner}, not to ${owner}.`)
  }
}

/** Which STORE holds a tag after some are gone, or undefined when none is left. */
export function latestHolder(holders: readonly StoredMessage[], gone: ReadonlySet<string>): FileTag | undefined {
  let latest: FileTag | undefined
  for (const { message, content } of holders) {
    if (gone.has(message.item_hash)) continue
    const { hash, time } = contentFields(content)
    const value: FileTag = { itemHash: message.item_hash, fileHash: hash ?? '', time }
    if (isLater(value, latest)) latest = value
  }
  return latest
}
