import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { AppError, describeError, toProblem } from '../../../core/errors.ts'
import type { Log } from '../../../core/log.ts'
import { MessageError } from '../../protocol/errors.ts'
import { BadRequestError, NotFoundError } from '../errors.ts'
import type { CcnMetrics } from '../metrics.ts'

export type App = FastifyInstance
export type Request = FastifyRequest
export type Reply = FastifyReply

/**
 * An HTTP application with this node's manners: any origin may read, bodies arrive as streams (each route reads with its own
 * limit), errors are problem details with the network's `error_code` added.
 */
export function createApp(log: Log, metrics: CcnMetrics): App {
  const app = fastify({ logger: false, forceCloseConnections: true, routerOptions: { maxParamLength: 1_200 } })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
  app.addHook('onRequest', async (_request, reply) => {
    reply.header('access-control-allow-origin', '*')
  })
  app.addHook('onResponse', async (request, reply) => {
    metrics.requests.add({
      route: request.routeOptions.url ?? 'none',
      status: `${Math.floor(reply.statusCode / 100)}xx`,
    })
  })
  app.options('/*', async (_request, reply) => {
    reply.header('access-control-allow-methods', 'GET, HEAD, POST, OPTIONS').header('access-control-allow-headers', '*')
    return reply.code(204).send()
  })
  app.setNotFoundHandler(async (_request, reply) => sendError(new NotFoundError('This node has no such path.'), reply))
  app.setErrorHandler(async (error: FastifyError, _request, reply) => {
    const known = error instanceof AppError ? error : fromFramework(error)
    if (!(known instanceof AppError)) log.error('A request failed.', { reason: describeError(error) })
    return sendError(known, reply)
  })
  return app
}

function fromFramework(error: FastifyError): unknown {
  const isCallers = error.statusCode !== undefined && error.statusCode < 500
  return isCallers ? new BadRequestError(error.message, { cause: error }) : error
}

function sendError(error: unknown, reply: Reply): Reply {
  const problem = toProblem(error)
  // The rest of a refused upload need not be read.
  if (problem.status === 413) reply.header('connection', 'close')
  return reply
    .code(problem.status)
    .type('application/problem+json')
    .send(JSON.stringify(errorBody(error)))
}

/** Problem details; for a refused message with the network's number and `{ errors }` as its nodes give them. */
export function errorBody(error: unknown): Record<string, unknown> {
  const problem = toProblem(error)
  if (!(error instanceof MessageError)) return { ...problem }
  return { ...problem, error_code: error.errorCode, details: { errors: error.errors } }
}
