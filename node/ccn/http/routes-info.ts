import type { Metrics } from '../../../core/metrics.ts'
import { parseContentText } from '../../protocol/message.ts'
import type { CcnLimits } from '../config.ts'
import { contentFields } from '../content-fields.ts'
import { BadRequestError } from '../errors.ts'
import type { MessageStore } from '../ports.ts'
import type { App } from './app.ts'
import { readJson } from './body.ts'
import { getMessage } from './routes-messages.ts'

/** Routes about the node, accounts and prices (protocol 3.7). Nothing costs anything on this node: all amounts are zero. */
export function addInfoRoutes(
  app: App,
  store: MessageStore,
  metrics: Metrics,
  limits: CcnLimits,
  version: string,
): void {
  app.get('/healthz', async () => ({ status: 'ok' }))
  app.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()))
  for (const path of ['/version', '/api/v0/version']) app.get(path, async () => ({ version }))
  app.get('/api/v0/info/public.json', async () => ({ node_multi_addresses: [] }))
  app.get('/api/v0/addresses/:address/balance', async (request) => ({
    address: (request.params as { address: string }).address,
    balance: 0,
    details: {},
    locked_amount: 0,
    credit_balance: 0,
    credit_balance_details: [],
  }))
  app.get('/api/v0/price/:hash', async (request) => {
    const { content, message } = await getMessage(store, request)
    const { owner, paymentType } = contentFields(content)
    return zeroCost(owner ?? message.sender, paymentType)
  })
  for (const path of ['/api/v0/price/estimate', '/api/v0/price/estimate/instance']) {
    app.post(path, async (request) => {
      const { message } = await readJson(request, limits.bodyBytesMax)
      const text = (message as { item_content?: unknown } | undefined)?.item_content
      if (typeof text !== 'string') throw new BadRequestError('The estimate needs a message with item_content.')
      const { owner, paymentType } = contentFields(parseContentText(text))
      return zeroCost(owner ?? '', paymentType)
    })
  }
}

function zeroCost(address: string, paymentType: string | undefined) {
  return { required_tokens: 0, payment_type: paymentType ?? 'hold', cost: '0', detail: [], charged_address: address }
}
