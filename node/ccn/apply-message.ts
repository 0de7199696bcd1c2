import { applyAggregate } from './apply/aggregate.ts'
import { applyForget } from './apply/forget.ts'
import { verifyPermission } from './apply/permissions.ts'
import { amendTarget, applyPost } from './apply/post.ts'
import type { Incoming, MessageState } from './apply/state.ts'
import { applyStore } from './apply/store.ts'
import { applyVm } from './apply/vm.ts'
import type { Change } from './ports.ts'

/**
 * Decides what a checked message changes, from the message and what was looked up for it. Pure: reads no store and no clock.
 * @returns changes for one transaction, the message itself included
 * @throws MessageError with the network's error code; a WaitingError when it may pass later
 */
export function applyMessage(incoming: Incoming, state: MessageState): Change[] {
  const { message, raw, content, receptionTimeMs, sizeBytes } = incoming
  // Amends and FORGETs are judged by the message they act on.
  if (message.type !== 'FORGET' && amendTarget(raw) === undefined) {
    const act = { type: message.type, content: raw, channel: message.channel }
    verifyPermission(message.sender, message.chain, content.address, act, state.security.get(content.address))
  }
  const effects = effectsOf(incoming, state)
  return [
    { kind: 'message', stored: { message, content: raw, status: 'processed', receptionTimeMs, sizeBytes } },
    ...effects,
  ]
}

function effectsOf(incoming: Incoming, state: MessageState): Change[] {
  switch (incoming.message.type) {
    case 'POST':
      return applyPost(incoming as Incoming<'POST'>, state)
    case 'AGGREGATE':
      return applyAggregate(incoming as Incoming<'AGGREGATE'>, state)
    case 'STORE':
      return applyStore(incoming as Incoming<'STORE'>, state)
    case 'PROGRAM':
    case 'INSTANCE':
      return applyVm(incoming as Incoming<'PROGRAM' | 'INSTANCE'>, state)
    case 'FORGET':
      return applyForget(incoming as Incoming<'FORGET'>, state)
  }
}
