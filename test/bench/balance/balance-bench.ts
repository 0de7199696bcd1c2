import { parseArgs } from 'node:util'
import { policies } from './policies.ts'
import { scenarios } from './scenarios.ts'
import { type Outcome, type SimulateOptions, simulate } from './simulate.ts'

const usage = `Usage: npm run -s bench -- balance [--json] [--seed N] [--seconds N] [--workers N] [--scenario NAME]

Simulates hosts in virtual time and compares the gateway's choice of hosts with simpler ones.
  --seed N        seed of arrivals, service times and choices (default 1)
  --seconds N     virtual seconds for each run (default 120)
  --workers N     processes that share the requests and nothing else (default 1)
  --scenario NAME only this one
  --json          one JSON object: {"seed":…,"seconds":…,"workers":…,"scenarios":{"<name>":{"<policy>":{"p50Ms":…,…}}}}
`

type Outcomes = Record<string, Record<string, Outcome>>

/** The bench `balance`. @returns the exit code */
export async function run(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      seed: { type: 'string', default: '1' },
      seconds: { type: 'string', default: '120' },
      workers: { type: 'string', default: '1' },
      scenario: { type: 'string' },
    },
  })
  const [seed, seconds, workers] = [values.seed, values.seconds, values.workers].map(Number) as [number, number, number]
  if (values.help || !Number.isInteger(seed) || !(seconds > 0) || !(workers > 0)) {
    process.stderr.write(usage)
    return values.help ? 0 : 2
  }
  const chosen = scenarios(seconds * 1_000).filter(({ name }) => name === (values.scenario ?? name))
  const options = { runMs: seconds * 1_000, seed, workers }
  const outcomes: Outcomes = {}
  for (const scenario of chosen) {
    const row: Record<string, Outcome> = {}
    for (const policy of Object.keys(policies)) row[policy] = await simulate(scenario, policy, options)
    outcomes[scenario.name] = row
  }
  if (values.json) process.stdout.write(`${JSON.stringify({ seed, seconds, workers, scenarios: outcomes })}\n`)
  else process.stdout.write(markdown(outcomes, options))
  return 0
}

function markdown(outcomes: Outcomes, { seed, runMs, workers }: SimulateOptions): string {
  const texts = new Map(scenarios(1).map(({ name, text }) => [name, text]))
  const lines = [
    `Seed ${seed}, ${runMs / 1_000} virtual seconds for each run, ${workers} ${workers === 1 ? 'process' : 'processes'}.`,
  ]
  for (const [name, row] of Object.entries(outcomes)) {
    lines.push('', `### ${name}: ${texts.get(name)}`, '')
    lines.push('| policy | p50 ms | p99 ms | errors | retries | hedges | to the bad host | starts |')
    lines.push('|---|---|---|---|---|---|---|---|')
    for (const [policy, outcome] of Object.entries(row)) lines.push(tableRow(policy, outcome))
  }
  return `${lines.join('\n')}\n`
}

function tableRow(policy: string, outcome: Outcome): string {
  const { p50Ms, p99Ms, errorRate, retryShare, hedgeShare, badShare, starts } = outcome
  const cells = [
    policy,
    p50Ms.toFixed(1),
    p99Ms.toFixed(1),
    percent(errorRate),
    percent(retryShare),
    percent(hedgeShare),
    badShare === undefined ? '–' : percent(badShare),
    starts,
  ]
  return `| ${cells.join(' | ')} |`
}

function percent(share: number): string {
  return share === 0 ? '0' : `${(share * 100).toFixed(share < 0.001 ? 4 : 2)} %`
}

if (import.meta.main) process.exitCode = await run(process.argv.slice(2))
