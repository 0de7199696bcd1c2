import { parseMessage, type SignedMessage } from '../../protocol/message.ts'
import type { CcnLimits } from '../config.ts'
import { TopicRefusedError } from '../errors.ts'
import type { PendingMessages } from '../pending-messages.ts'
import type { StagedFile } from '../ports.ts'
import type { Outcome } from '../process-message.ts'
import { type App, errorBody, type Reply } from './app.ts'
import { readJson } from './body.ts'

/** The topic under which the network publishes messages; the name is historical. */
const messageTopic = 'ALEPH-TEST'
const published = { publication_status: { status: 'success', failed: [] } }
const statusCodes: Readonly<Record<Outcome['status'], number>> = {
  processed: 200,
  pending: 202,
  rejected: 422,
  forgotten: 410,
}

/** Takes a message in and, when asked to, waits for a pending one. */
export interface Publisher {
  publish(message: SignedMessage, options: { sync: boolean; staged?: StagedFile }): Promise<Outcome>
}

/** @param process - settles one message; `pending` is told about what it may have to wait for */
export function createPublisher(
  process: (message: SignedMessage, staged?: StagedFile) => Promise<Outcome>,
  pending: PendingMessages,
  limits: CcnLimits,
): Publisher {
  return {
    async publish(message, { sync, staged }) {
      const outcome = await process(message, staged)
      pending.report(message.item_hash, outcome)
      if (!sync || outcome.status !== 'pending') return outcome
      return (await pending.settled(message, limits.syncWaitMs)) ?? outcome
    },
  }
}

/** Routes that publish a message (protocol 3.1). */
export function addPublishRoutes(app: App, publisher: Publisher, limits: CcnLimits): void {
  app.post('/api/v0/messages', async (request, reply) => {
    const body = await readJson(request, limits.bodyBytesMax)
    const outcome = await publisher.publish(parseMessage(body.message), { sync: body.sync === true })
    return sendOutcome(reply, outcome, {})
  })
  for (const network of ['p2p', 'ipfs']) {
    app.post(`/api/v0/${network}/pubsub/pub`, async (request, reply) => {
      const { topic, data } = await readJson(request, limits.bodyBytesMax)
      if (topic !== messageTopic) throw new TopicRefusedError(`The topic must be ${messageTopic}.`)
      const outcome = await publisher.publish(parseMessage(data), { sync: false })
      return sendOutcome(reply, outcome, { status: 'success', failed: [] })
    })
  }
}

/** Answers with what became of a message; a refusal carries the network's error code and our problem code. */
export function sendOutcome(reply: Reply, outcome: Outcome, more: Record<string, unknown>): Reply {
  const { status, error } = outcome
  const refused = status === 'rejected' || status === 'forgotten'
  const why = refused && error ? errorBody(error) : {}
  const waiting =
    status === 'pending' && error ? { error_code: error.errorCode, details: { errors: error.errors } } : {}
  const body = { ...published, ...(refused ? {} : more), message_status: status, ...why, ...waiting }
  return reply.code(statusCodes[status]).type('application/json').send(JSON.stringify(body))
}
