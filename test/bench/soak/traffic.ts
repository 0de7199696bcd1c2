import { request } from 'node:http'
import { connect } from 'node:tls'
import { siteName } from '../content.ts'
import { Comparison } from './compare.ts'
import type { Outcome } from './judge.ts'
import { closeClients, InexcusableError, type Scenario, scenarios, type Target } from './scenarios.ts'

/** Between two exchanges of a client: leaves the machine air, so that what is tested is the gateway and not a full queue. */
const pauseMs = 5

/** Clients of all kinds, each doing one exchange after the other until it is stopped. */
export class Traffic {
  readonly #target: Target
  readonly #report: (outcome: Outcome) => void
  readonly #clients: Promise<void>[]
  #isOver = false
  #seed = 1

  constructor(target: Target, kinds: readonly Scenario[], report: (outcome: Outcome) => void) {
    this.#target = target
    this.#report = report
    this.#clients = kinds.flatMap((kind) => Array.from({ length: kind.clients }, () => this.#work(kind)))
  }

  /** Lets every client finish what it is at. */
  async stop(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#clients)
    closeClients()
  }

  async #work(scenario: Scenario): Promise<void> {
    while (!this.#isOver) {
      // Seeds lie apart, since parts of one exchange count on from its seed.
      this.#seed += 16
      this.#report(await exchange(scenario, this.#target, this.#seed))
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  }
}

async function exchange(scenario: Scenario, target: Target, seed: number): Promise<Outcome> {
  const comparison = new Comparison(scenario.expected(seed))
  const startedAt = performance.now()
  let [error, inexcusable]: [string | undefined, boolean] = [undefined, false]
  try {
    await scenario.run(target, seed, comparison)
  } catch (thrown) {
    error = thrown instanceof Error ? thrown.message : String(thrown)
    inexcusable = thrown instanceof InexcusableError
  }
  return {
    scenario: scenario.name,
    startedAt,
    endedAt: performance.now(),
    bytes: comparison.bytes,
    wrongBytes: comparison.wrongBytes,
    ...(error === undefined ? {} : { error, inexcusable }),
    mustSurviveHosts: scenario.mustSurviveHosts ?? false,
  }
}

/** Which kinds of clients the gateway can serve: plain HTTP may only redirect, HTTP/2 may not be offered. */
export async function findAbilities(target: Target): Promise<{ scenarios: Scenario[]; leftOut: string[] }> {
  const able = { plain: await servesPlain(target), h2: await offersHttp2(target) }
  const isAble = ({ needs }: Scenario): boolean => needs === undefined || able[needs]
  return {
    scenarios: scenarios.filter(isAble),
    leftOut: scenarios.filter((scenario) => !isAble(scenario)).map(({ name }) => name),
  }
}

function servesPlain({ httpPort }: Target): Promise<boolean> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port: httpPort, path: '/small/1', headers: { Host: siteName } })
      .on('response', (response) => {
        response.resume()
        resolve(response.statusCode === 200)
      })
      .on('error', reject)
      .end()
  })
}

function offersHttp2({ httpsPort }: Target): Promise<boolean> {
  return new Promise((resolve) => {
    const options = { host: '127.0.0.1', port: httpsPort, servername: siteName, rejectUnauthorized: false }
    const socket = connect({ ...options, ALPNProtocols: ['h2', 'http/1.1'] }, () => {
      resolve(socket.alpnProtocol === 'h2')
      socket.destroy()
    })
    socket.on('error', () => resolve(false))
  })
}
