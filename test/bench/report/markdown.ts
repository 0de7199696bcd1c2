import { featureTaxMax, type Goal, goals, verdict } from '../goals.ts'
import { median } from '../measure/statistics.ts'
import type { DataplaneResult, Figures, Machine, WorkloadResult } from '../results.ts'
import { workloads } from '../workloads.ts'

/** The report for people. @param options.chart - file of the chart, relative to the report */
export function markdown(result: DataplaneResult, options: { chart?: string } = {}): string {
  const measured = workloads.flatMap(({ name, title }) => {
    const found = result.workloads[name]
    return found ? [{ name, title, found }] : []
  })
  return [
    '# What the data plane costs',
    '',
    'CPU time of the proxy per request: all threads and child processes, user and system. Every ratio is formed within one round, so that both',
    'sides ran in the same minute of the machine; shown are the median of the rounds and its bootstrap 95 % interval. Below 1 we are cheaper.',
    'All runs go over loopback: the kernel has a larger part in them, and the program a smaller one, than with a real network card.',
    '',
    ...(options.chart ? [`![CPU per request, divided by that of nginx](${options.chart})`, ''] : []),
    ...goalTable(result),
    '',
    ...measured.flatMap(({ name, title, found }) => [...workloadTable(name, title, found), '']),
    ...machineTable(result.machine),
    '',
    'Repeat with `npm run -s bench -- dataplane --install-peers --tax --write`.',
  ].join('\n')
}

function goalTable(result: DataplaneResult): string[] {
  const rows = goals.flatMap((goal) => {
    const found = result.workloads[goal.workload]
    return found ? [goalRow(goal, found)] : []
  })
  const taxes = Object.values(result.workloads).flatMap(({ featureTax }) => (featureTax ? [featureTax.median] : []))
  if (taxes.length > 0) {
    const tax = median(taxes)
    rows.push(
      `| feature tax, median of the workloads | ${percent(featureTaxMax)} | ${percent(tax)} | ${verdict(tax, featureTaxMax)} |`,
    )
  }
  return ['## Goals', '', '| what | at most | measured | |', '|---|---|---|---|', ...rows]
}

function goalRow({ workload, peer, max }: Goal, found: WorkloadResult): string {
  const title = workloads.find(({ name }) => name === workload)?.title
  if (peer === undefined) {
    const { kib } = found.ours
    const shown = kib === undefined ? 'void' : `${kib} KiB`
    return `| ${title} | ${max} KiB | ${shown} | ${kib === undefined ? 'not measured' : verdict(kib, max)} |`
  }
  const ratio = found.ratio[peer]
  const noisy = found.noisy.includes(peer) ? ', noisy' : ''
  const shown = ratio ? `${ratio.median} [${ratio.low} to ${ratio.high}]${noisy}` : '–'
  return `| ${title}, to ${peer} | ${max} | ${shown} | ${ratio ? verdict(ratio.median, max) : 'not measured'} |`
}

function workloadTable(
  name: string,
  title: string,
  { ours, peers, ratio, noisy, featureTax }: WorkloadResult,
): string[] {
  const unit = name === 'idle' ? 'KiB each' : 'µs CPU'
  const resumed = ours.resumedShare === undefined ? '' : ' resumed |'
  const row = (who: string, figures: Figures): string => {
    const divided = ratio[who]
    const times = divided
      ? `${divided.median} [${divided.low} to ${divided.high}]${noisy.includes(who) ? ' noisy' : ''}`
      : ''
    const cells = [cost(figures), times, figures.p50Ms, figures.p99Ms, figures.syscalls].map((cell) => cell ?? '')
    const share = resumed === '' ? '' : ` ${figures.resumedShare === undefined ? '' : percent(figures.resumedShare)} |`
    return `| ${who} | ${cells.join(' | ')} |${share}`
  }
  return [
    `## ${title} (\`${name}\`)`,
    '',
    `| | ${unit} | ours divided by it | p50 ms | p99 ms | system calls |${resumed}`,
    `|---|---|---|---|---|---|${resumed === '' ? '' : '---|'}`,
    row('ours', ours),
    ...Object.entries(peers).map(([who, figures]) => row(who, figures)),
    ...(featureTax
      ? ['', `Features cost ${percent(featureTax.median)} [${percent(featureTax.low)} to ${percent(featureTax.high)}].`]
      : []),
  ]
}

const cost = (figures: Figures): string =>
  figures.void === undefined ? String(figures.kib ?? figures.cpuUs) : `void: ${figures.void.replaceAll('|', '/')}`

function machineTable(machine: Machine): string[] {
  const rows: [string, string][] = [
    ['revision', machine.revision],
    ['date', machine.date],
    ['Node', machine.node],
    ['CPU', `${machine.cpu}, ${machine.cores} cores`],
    ['kernel', machine.kernel],
    ['pinned', machine.pinned ? 'proxy on one core, origin and load on another' : 'no: all share all cores'],
    ['origin', machine.origin],
    ['load average', `${machine.load[0]} before, ${machine.load[1]} after`],
    ['stolen by the hypervisor', `${machine.stealPercent} %`],
    ['rounds', `${machine.rounds} of ${machine.slotSeconds} s`],
    ...Object.entries(machine.versions),
    ...(machine.leftOut.length > 0
      ? ([['left out: not installed, or did not start', machine.leftOut.join(', ')]] as [string, string][])
      : []),
  ]
  return ['## Machine', '', '| | |', '|---|---|', ...rows.map(([name, value]) => `| ${name} | ${value} |`)]
}

const percent = (share: number): string => `${(share * 100).toFixed(0)} %`
