import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../../core/clock.ts'
import { AppError } from '../../../core/errors.ts'
import { GuestEndedError, ProgramAnswerError, ProgramTimeoutError } from '../errors.ts'
import type { Execution, Executions } from '../executions.ts'
import type { CrnMetrics } from '../metrics.ts'
import { answerHeaders, requestHeaders } from './headers.ts'
import { sendProblem, sendProblemRaw, serverHeader } from './problem.ts'
import type { Target } from './target.ts'

export interface ForwardPorts {
  executions: Executions
  clock: Clock
  metrics: CrnMetrics
}

/** A request that the program did not answer may be sent once more when nothing of it can have had an effect. */
const attemptsMax = 2

/** Streams one request into the program and its answer back, whatever their size; neither is held in memory. */
export async function forwardRequest(
  request: IncomingMessage,
  response: ServerResponse,
  target: Target,
  ports: ForwardPorts,
): Promise<void> {
  const repeatable = isRepeatable(request)
  for (let attempt = 1; ; attempt++) {
    let execution: Execution | undefined
    try {
      execution = await ports.executions.acquire(target.itemHash)
      if (response.destroyed) return
      const askedAtMs = performance.now()
      const answer = await ask(request, response, target, execution, ports.clock, repeatable)
      ports.metrics.answerSeconds.observe((performance.now() - askedAtMs) / 1_000)
      await passAnswer(answer, response, execution)
      ports.metrics.requests.add({ result: `${Math.floor(response.statusCode / 100)}xx` })
      return
    } catch (error) {
      if (execution?.guest.isGone) ports.executions.drop(execution)
      // A guest that was gone before the connection has seen nothing; one that hung up may have.
      const unseen = error instanceof GuestEndedError || (repeatable && error instanceof ProgramAnswerError)
      const again = unseen && attempt < attemptsMax && !response.headersSent
      if (again && !response.destroyed) continue
      ports.metrics.requests.add({ result: response.destroyed ? 'client_gone' : sendProblem(response, error) })
      return
    } finally {
      if (execution) ports.executions.release(execution)
    }
  }
}

/** Without a body and without an effect (RFC 9110 §9.2.1). */
function isRepeatable(request: IncomingMessage): boolean {
  const bodyless = request.headers['content-length'] === undefined && request.headers['transfer-encoding'] === undefined
  return bodyless && ['GET', 'HEAD', 'OPTIONS'].includes(request.method ?? '')
}

function ask(
  request: IncomingMessage,
  response: ServerResponse,
  target: Target,
  execution: Execution,
  clock: Clock,
  repeatable: boolean,
): Promise<IncomingMessage> {
  const { guest, plan } = execution
  return new Promise((resolve, reject) => {
    const question = http.request({
      method: request.method,
      path: target.path,
      headers: requestHeaders(request.rawHeaders),
      setHost: false,
      // A connection that is used again may be closed by the program at that moment: only what can be repeated risks it.
      ...(repeatable ? { agent: guest.agent } : { createConnection: () => guest.connect() }),
    })
    const finish = (act: () => void): void => {
      timer?.[Symbol.dispose]()
      response.off('close', onClientGone)
      act()
    }
    const startTimer = (): Disposable =>
      clock.schedule(plan.answerTimeoutMs, () => question.destroy(new ProgramTimeoutError(plan.answerTimeoutMs)))
    const onClientGone = (): void => void question.destroy()
    let timer: Disposable | undefined
    // An upload may take as long as the client needs; the program's time counts from its end.
    if (request.complete || repeatable) timer = startTimer()
    else
      request.once('end', () => {
        timer = startTimer()
      })
    response.once('close', onClientGone)
    question.once('response', (answer) => finish(() => resolve(answer)))
    question.once('error', (cause) =>
      finish(() => reject(cause instanceof AppError ? cause : new ProgramAnswerError({ cause }))),
    )
    if (repeatable) question.end()
    else request.pipe(question)
  })
}

/** Resolves when the whole answer is with the client, or either side is gone. */
function passAnswer(answer: IncomingMessage, response: ServerResponse, execution: Execution): Promise<void> {
  return new Promise((resolve) => {
    const status = answer.statusCode ?? 502
    response.writeHead(status, answer.statusMessage ?? '', answerHeaders(answer.rawHeaders, ownHeaders(execution)))
    // At once: the first event of a stream must not wait for the second.
    response.flushHeaders()
    answer.pipe(response, { end: false })
    answer.once('end', () => {
      if (answer.rawTrailers.length > 0) response.addTrailers(pairs(answer.rawTrailers))
      response.end()
    })
    answer.once('error', () => response.destroy())
    answer.once('close', () => {
      // A cut answer must not look like a whole one.
      if (!answer.complete) response.destroy()
    })
    response.once('close', () => {
      if (!answer.complete) answer.destroy()
      resolve()
    })
  })
}

function ownHeaders(execution: Execution): string[] {
  return [
    'Server',
    serverHeader,
    'Aleph-Program-ItemHash',
    execution.itemHash,
    'Aleph-Program-Code-Ref',
    execution.codeRef,
  ]
}

function pairs(flat: readonly string[]): [string, string][] {
  return flat.flatMap((name, index): [string, string][] => (index % 2 === 0 ? [[name, flat[index + 1] ?? '']] : []))
}

/** Joins a connection that asked for an upgrade (WebSocket) with one into the program, byte for byte once that agreed. */
export async function forwardUpgrade(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  target: Target,
  ports: ForwardPorts,
): Promise<void> {
  let execution: Execution | undefined
  socket.on('error', () => socket.destroy())
  try {
    execution = await ports.executions.acquire(target.itemHash)
    const result = await joinUpgrade(request, socket, head, target, execution, ports.clock)
    ports.metrics.requests.add({ result })
  } catch (error) {
    if (execution?.guest.isGone) ports.executions.drop(execution)
    ports.metrics.requests.add({ result: socket.destroyed ? 'client_gone' : sendProblemRaw(socket, error) })
  } finally {
    if (execution) ports.executions.release(execution)
  }
}

function joinUpgrade(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  target: Target,
  execution: Execution,
  clock: Clock,
): Promise<string> {
  const { guest, plan } = execution
  return new Promise((resolve, reject) => {
    const question = http.request({
      method: request.method,
      path: target.path,
      headers: requestHeaders(request.rawHeaders, true),
      setHost: false,
      createConnection: () => guest.connect(),
    })
    const timer = clock.schedule(plan.answerTimeoutMs, () =>
      question.destroy(new ProgramTimeoutError(plan.answerTimeoutMs)),
    )
    const onClientGone = (): void => void question.destroy()
    socket.once('close', onClientGone)
    question.once('error', (cause) => {
      timer[Symbol.dispose]()
      reject(cause instanceof AppError ? cause : new ProgramAnswerError({ cause }))
    })
    question.once('upgrade', (answer, inner, innerHead) => {
      timer[Symbol.dispose]()
      socket.off('close', onClientGone)
      socket.write(rawHead(answer, execution, true))
      if (innerHead.length > 0) socket.write(innerHead)
      if (head.length > 0) inner.write(head)
      join(socket, inner, () => resolve('upgraded'))
    })
    question.once('response', (answer) => {
      // The program declined. The connection has left node:http, so its answer is written by hand and ends it.
      timer[Symbol.dispose]()
      socket.off('close', onClientGone)
      socket.write(rawHead(answer, execution, false))
      join(answer, socket, () => resolve(`${Math.floor((answer.statusCode ?? 500) / 100)}xx`), true)
    })
    question.end()
  })
}

function rawHead(answer: IncomingMessage, execution: Execution, upgrade: boolean): string {
  const headers = answerHeaders(
    answer.rawHeaders,
    [...ownHeaders(execution), ...(upgrade ? [] : ['Connection', 'close'])],
    upgrade,
  )
  const lines = pairs(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}\r\n${lines.join('')}\r\n`
}

/** Pipes both ways (or one way) and calls back once both are over; the end of one ends the other. */
function join(from: Duplex | IncomingMessage, to: Duplex, done: () => void, oneWay = false): void {
  let open = 2
  const closed = (): void => {
    from.destroy()
    to.destroy()
    if (--open === 0) done()
  }
  for (const side of [from, to]) {
    side.on('error', () => {})
    side.once('close', closed)
  }
  from.pipe(to)
  if (!oneWay) to.pipe(from as Duplex)
}
