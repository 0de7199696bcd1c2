import { messageErrorCodes } from '../../protocol/errors.ts'
import { contentFields } from '../content-fields.ts'
import { DependencyMissingError, RuleBrokenError } from '../errors.ts'
import type { Change } from '../ports.ts'
import { verifyPermission } from './permissions.ts'
import type { Incoming, MessageState } from './state.ts'

/** The original that an amend names, or undefined when the post is no amend or names none. */
export function amendTarget(raw: Record<string, unknown>): string | undefined {
  const { type, ref } = contentFields(raw)
  return type === 'amend' ? ref : undefined
}

/** A POST changes nothing but itself: which amend counts is decided when posts are read. @throws MessageError */
export function applyPost({ message, raw, content }: Incoming<'POST'>, state: MessageState): Change[] {
  if (content.type !== 'amend') return []
  const ref = amendTarget(raw)
  if (!ref)
    throw new RuleBrokenError(messageErrorCodes.amendNoTarget, 'An amend must name the post that it amends in "ref".')
  const target = state.messages.get(ref)
  if (target?.status !== 'processed' || target.message.type !== 'POST') {
    throw new DependencyMissingError(messageErrorCodes.amendTargetNotFound, `The post ${ref} to amend is not here.`, [
      ref,
    ])
  }
  const original = contentFields(target.content)
  if (original.type === 'amend') {
    throw new RuleBrokenError(messageErrorCodes.amendOfAmend, `The post ${ref} is an amend itself.`, {
      hint: 'Name the original post in "ref".',
    })
  }
  const owner = original.owner ?? ''
  const act = { type: 'POST', content: target.content, channel: target.message.channel }
  // The amend speaks for the owner of the original, whatever address it carries.
  verifyPermission(content.address, message.chain, owner, act, undefined)
  verifyPermission(message.sender, message.chain, owner, act, state.security.get(owner))
  return []
}
