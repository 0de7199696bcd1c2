import { isExplained, type Outcome } from './judge.ts'

export interface SoakCounts {
  requests: number
  bytes: number
  wrongBytes: number
  /** Errors that the run itself caused: a host was killed under an exchange that cannot be repeated. */
  explainedErrors: number
  unexplainedErrors: number
  /** Unexplained errors and wrong answers, each kind with how often it was seen; the first few kinds. */
  problems: Record<string, number>
  /** Exchanges by kind of client. */
  scenarios: Record<string, number>
}

/** A gateway that is broken fails in many words; the first few kinds tell enough. */
const problemsMax = 20

/** Counts outcomes as they come, so that a run of days takes no more memory than one of minutes. */
export class SoakTally {
  readonly counts: SoakCounts = {
    requests: 0,
    bytes: 0,
    wrongBytes: 0,
    explainedErrors: 0,
    unexplainedErrors: 0,
    problems: {},
    scenarios: {},
  }
  readonly #killedAt: readonly number[]

  /** @param killedAt - grows while hosts are killed; a kill during an exchange is in there before the exchange ends */
  constructor(killedAt: readonly number[]) {
    this.#killedAt = killedAt
  }

  add(outcome: Outcome): void {
    const { counts } = this
    counts.requests++
    counts.bytes += outcome.bytes
    counts.wrongBytes += outcome.wrongBytes
    counts.scenarios[outcome.scenario] = (counts.scenarios[outcome.scenario] ?? 0) + 1
    if (outcome.wrongBytes > 0)
      this.#problem(`${outcome.scenario}: ${outcome.wrongBytes} wrong or missing bytes, ${outcome.bytes} received`)
    if (outcome.error === undefined) return
    if (isExplained(outcome, this.#killedAt)) {
      counts.explainedErrors++
    } else {
      counts.unexplainedErrors++
      this.#problem(`${outcome.scenario}: ${outcome.error}`)
    }
  }

  get isClean(): boolean {
    const { requests, wrongBytes, unexplainedErrors } = this.counts
    return requests > 0 && wrongBytes === 0 && unexplainedErrors === 0
  }

  #problem(text: string): void {
    const { problems } = this.counts
    if (problems[text] !== undefined || Object.keys(problems).length < problemsMax)
      problems[text] = (problems[text] ?? 0) + 1
  }
}
