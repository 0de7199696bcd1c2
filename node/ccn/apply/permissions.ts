import { isPermitted } from '../../protocol/permissions.ts'
import { contentFields } from '../content-fields.ts'
import { PermissionDeniedError } from '../errors.ts'

/** What is to be done: the type, content and channel of the message that is judged. */
export interface JudgedMessage {
  type: string
  content: Readonly<Record<string, unknown>>
  channel: string | null
}

/** Checks that `sender` may act for `owner`. @throws PermissionDeniedError */
export function verifyPermission(
  sender: string,
  chain: string,
  owner: string,
  judged: JudgedMessage,
  security: unknown,
): void {
  const { type: postType, key: aggregateKey } = contentFields(judged.content)
  const act = { type: judged.type, postType, aggregateKey, channel: judged.channel }
  if (isPermitted(sender, chain, owner, act, security)) return
  throw new PermissionDeniedError(`The sender ${sender} may not publish this ${judged.type} for ${owner}.`, {
    hint: 'The owner can allow it with an entry in the aggregate "security".',
  })
}
