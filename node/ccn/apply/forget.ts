import { messageErrorCodes } from '../../protocol/errors.ts'
import { contentFields } from '../content-fields.ts'
import { DependencyMissingError, RuleBrokenError } from '../errors.ts'
import type { Change, StoredMessage } from '../ports.ts'
import { mergeElements } from './aggregate.ts'
import { verifyPermission } from './permissions.ts'
import { aggregateId, type Incoming, type MessageState } from './state.ts'
import { latestHolder, storeTag } from './store.ts'

/** Statuses that a FORGET passes over: their content is gone or was never effective. */
const skipped = new Set<string>(['rejected', 'removed'])

/** Erases the targets and what they brought about. @throws MessageError */
export function applyForget(incoming: Incoming<'FORGET'>, state: MessageState): Change[] {
  const { message, content } = incoming
  if (content.hashes.length === 0 && content.aggregates.length === 0) {
    throw new RuleBrokenError(messageErrorCodes.forgetNoTarget, 'A FORGET must name at least one message.')
  }
  const targets = findTargets(incoming, state)
  checkSpeaker(incoming, targets, state)
  for (const target of targets) checkTarget(incoming, target, state)
  const erased = new Map<string, StoredMessage>()
  for (const target of targets) {
    for (const stored of withAmends(target, state))
      if (stored.status !== 'forgotten') erased.set(stored.message.item_hash, stored)
  }
  const marked = targets.filter(({ status }) => status === 'forgotten')
  return [
    ...[...erased.values(), ...marked].map((stored) => skeleton(stored, message.item_hash)),
    ...[...erased.values()].flatMap((stored) => undo(stored, state)),
    ...aggregateChanges(erased, state),
    ...tagChanges(erased, state),
  ]
}

function findTargets({ content }: Incoming<'FORGET'>, state: MessageState): StoredMessage[] {
  const targets = new Map<string, StoredMessage>()
  for (const hash of content.hashes) {
    const target = state.messages.get(hash)
    if (!target || target.status === 'pending') {
      const code = messageErrorCodes.forgetTargetNotFound
      throw new DependencyMissingError(code, `The message ${hash} to forget is not here.`, [hash], [{ message: hash }])
    }
    if (!skipped.has(target.status)) targets.set(hash, target)
  }
  for (const key of content.aggregates) {
    const elements = state.aggregates.get(aggregateId(content.address, key))?.elements ?? []
    if (elements.length === 0) {
      const code = messageErrorCodes.forgetTargetNotFound
      throw new DependencyMissingError(code, `The aggregate ${key} to forget is not here.`, [key], [{ aggregate: key }])
    }
    for (const element of elements) targets.set(element.message.item_hash, element)
  }
  return [...targets.values()]
}

/** The FORGET itself must not claim an owner that it does not speak for; owners of all targets are checked with these. */
function checkSpeaker(
  { message, raw, content }: Incoming<'FORGET'>,
  targets: readonly StoredMessage[],
  state: MessageState,
): void {
  if (targets.length > 0 && targets.every((target) => ownerOf(target) === content.address)) return
  const act = { type: 'FORGET', content: raw, channel: message.channel }
  verifyPermission(message.sender, message.chain, content.address, act, state.security.get(content.address))
}

function ownerOf({ message, content }: StoredMessage): string {
  return contentFields(content).owner ?? message.sender
}

function checkTarget({ message }: Incoming<'FORGET'>, target: StoredMessage, state: MessageState): void {
  const { type, item_hash, channel } = target.message
  if (type === 'FORGET')
    throw new RuleBrokenError(messageErrorCodes.forgetOfForget, `The message ${item_hash} is a FORGET.`)
  const owner = ownerOf(target)
  const act = { type, content: target.content, channel }
  verifyPermission(message.sender, message.chain, owner, act, state.security.get(owner))
  const users = target.status === 'forgotten' ? [] : (state.users.get(item_hash) ?? [])
  if (type !== 'STORE' || users.length === 0) return
  throw new RuleBrokenError(
    messageErrorCodes.forgetNotAllowed,
    `The file of ${item_hash} is used by ${users.slice(0, 3).join(', ')}.`,
    {
      hint: 'Forget what uses it first.',
      details: [item_hash],
    },
  )
}

function withAmends(target: StoredMessage, state: MessageState): StoredMessage[] {
  return [target, ...(state.amends.get(target.message.item_hash) ?? [])]
}

/** What is kept of a forgotten message: the envelope without content, its owner, and who asked. */
function skeleton(stored: StoredMessage, forgetHash: string): Change {
  const { item_content: _, ...message } = stored.message
  const { owner, paymentType } = contentFields(stored.content)
  const content = { ...(owner ? { address: owner } : {}), ...(paymentType ? { payment: { type: paymentType } } : {}) }
  const forgottenBy = [...new Set([...(stored.forgottenBy ?? []), forgetHash])]
  const { receptionTimeMs, sizeBytes } = stored
  return { kind: 'message', stored: { message, content, status: 'forgotten', receptionTimeMs, sizeBytes, forgottenBy } }
}

function undo({ message }: StoredMessage, state: MessageState): Change[] {
  if (message.type === 'STORE') return [{ kind: 'unpin', itemHash: message.item_hash, atMs: state.nowMs }]
  if (message.type === 'PROGRAM' || message.type === 'INSTANCE')
    return [{ kind: 'uses', itemHash: message.item_hash, refs: [] }]
  return []
}

function aggregateChanges(erased: ReadonlyMap<string, StoredMessage>, state: MessageState): Change[] {
  const touched = new Map<string, { owner: string; key: string }>()
  for (const { message, content } of erased.values()) {
    const { owner, key } = contentFields(content)
    if (message.type === 'AGGREGATE' && owner && key !== undefined) touched.set(aggregateId(owner, key), { owner, key })
  }
  return [...touched].map(([id, { owner, key }]): Change => {
    const left = (state.aggregates.get(id)?.elements ?? []).filter(({ message }) => !erased.has(message.item_hash))
    return { kind: 'aggregate', owner, key, state: left.length > 0 ? mergeElements(left) : undefined }
  })
}

function tagChanges(erased: ReadonlyMap<string, StoredMessage>, state: MessageState): Change[] {
  const gone = new Set(erased.keys())
  const tags = new Set<string>()
  for (const { message, content } of erased.values()) {
    if (message.type === 'STORE') tags.add(storeTag(message.item_hash, content))
  }
  return [...tags].map(
    (tag): Change => ({ kind: 'fileTag', tag, value: latestHolder(state.tagHolders.get(tag) ?? [], gone) }),
  )
}
