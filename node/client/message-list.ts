import type { AppError } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import { InvalidShapeError, z } from '../../core/schema.ts'
import { MessageError } from '../protocol/errors.ts'
import type { CcnPool } from './ccn-pool.ts'
import { AnswerForgedError, UnknownItemError } from './errors.ts'
import { parseJsonAnswer } from './read-answer.ts'
import type { VerifiedMessage } from './verified-message.ts'

export type Verify = (json: unknown, signal: AbortSignal) => Promise<VerifiedMessage>

const listSchema = z.looseObject({ messages: z.array(z.unknown()), next_cursor: z.string().nullish() })
// 50 messages of 200,000 characters in up to two forms; a node must not fill our memory.
const listBytesMax = 33_554_432
const pageSize = 50
const pagesMax = 20
// HashMismatchError is not among them: it makes the page a lie.
const unverifiable = [MessageError, InvalidShapeError, AnswerForgedError, UnknownItemError] as const

/**
 * Messages of a list, page by page (50 each, at most 20 pages), those left out that cannot be verified here: networks hold
 * messages of chains that are not built in, without signature, or of delegates who since lost their right.
 * Those whose hash `isHeard` knows are left out unread.
 * A page in which a content does not have the hash of its message is a lie: the next node is asked for it.
 */
export async function* listMessages(
  ports: { pool: CcnPool; log: Log; verify: Verify },
  query: Readonly<Record<string, string>>,
  signal: AbortSignal,
  isHeard: (itemHash: string) => boolean = () => false,
): AsyncIterable<VerifiedMessage[]> {
  let cursor: string | undefined = ''
  for (let page = 0; page < pagesMax && cursor !== undefined; page++) {
    const parameters = new URLSearchParams({ ...query, pagination: String(pageSize), cursor })
    const path = `/api/v0/messages.json?${parameters}`
    const answer: { messages: VerifiedMessage[]; next: string | undefined } = await ports.pool.ask(
      path,
      'a list of messages',
      { signal, bytesMax: listBytesMax },
      async (given) => {
        const { messages, next_cursor } = listSchema.parse(parseJsonAnswer(given))
        const wanted = messages.slice(0, pageSize).filter((json) => !isHeard(hashOf(json)))
        const read = await Promise.all(wanted.map((json) => verifyOrSkip(ports, json, signal)))
        const next = messages.length > 0 ? (next_cursor ?? undefined) : undefined
        return { messages: read.filter((message) => message !== undefined), next }
      },
    )
    yield answer.messages
    cursor = answer.next
  }
}

function hashOf(json: unknown): string {
  return String((json as { item_hash?: unknown } | null)?.item_hash)
}

async function verifyOrSkip(
  { verify, log }: { verify: Verify; log: Log },
  json: unknown,
  signal: AbortSignal,
): Promise<VerifiedMessage | undefined> {
  try {
    return await verify(json, signal)
  } catch (error) {
    if (!isUnverifiable(error)) throw error
    log.debug('A message of a list was left out.', { reason: error.code })
    return undefined
  }
}

/** Whether an honest node may have such a message. What failed for lack of an answer is not among it, and may be asked again. */
function isUnverifiable(error: unknown): error is AppError {
  return unverifiable.some((kind) => error instanceof kind)
}
