import { goals } from '../goals.ts'
import type { DataplaneResult } from '../results.ts'
import { workloads } from '../workloads.ts'

const rowHeight = 34
const [left, right, top, width] = [190, 90, 64, 760]
/** Beyond this many times nginx a bar is cut; its figure still stands beside it. */
const ratioMax = 4

interface Bar {
  title: string
  median: number
  low: number
  high: number
  goal: number | undefined
}

/** A bar for each workload: our CPU per request divided by that of nginx, the interval as a line, the goal as a mark. Self-contained SVG. */
export function chart(result: DataplaneResult): string {
  const bars = barsOf(result)
  const longest = Math.max(2, ...bars.flatMap(({ median, high, goal }) => [median, high, goal ?? 0]))
  const scale = (width - left - right) / Math.min(ratioMax, longest)
  const x = (ratio: number): number => Number((left + Math.min(ratio, ratioMax) * scale).toFixed(1))
  const bottom = top + Math.max(1, bars.length) * rowHeight
  const ticks = Array.from({ length: Math.floor(Math.min(ratioMax, longest)) + 1 }, (_, at) => at)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${bottom + 44}" role="img" aria-labelledby="title">`,
    '<title id="title">CPU per request divided by that of nginx, with goals</title>',
    `<style>${style}</style>`,
    `<rect class="ground" width="${width}" height="${bottom + 44}" rx="6"/>`,
    '<text class="head" x="20" y="30">CPU per request, divided by that of nginx</text>',
    '<text class="quiet" x="20" y="48">shorter is cheaper; violet mark: goal; green: met, orange: missed; thin line: 95 % interval</text>',
    ...ticks.map(
      (tick) =>
        `<line class="${tick === 1 ? 'one' : 'grid'}" x1="${x(tick)}" x2="${x(tick)}" y1="${top}" y2="${bottom}"/>` +
        `<text class="quiet" x="${x(tick)}" y="${bottom + 18}" text-anchor="middle">${tick}</text>`,
    ),
    ...bars.map((bar, at) => barMarkup(bar, top + at * rowHeight, x)),
    ...(bars.length === 0 ? [`<text class="quiet" x="${left}" y="${top + 20}">nginx was not measured</text>`] : []),
    '</svg>',
    '',
  ].join('\n')
}

function barsOf(result: DataplaneResult): Bar[] {
  return workloads.flatMap(({ name, title }) => {
    const ratio = result.workloads[name]?.ratio.nginx
    // Memory is another unit than CPU, and its goal is absolute.
    if (!ratio || name === 'idle') return []
    return [{ title, ...ratio, goal: goals.find((goal) => goal.workload === name && goal.peer === 'nginx')?.max }]
  })
}

function barMarkup({ title, median, low, high, goal }: Bar, y: number, x: (ratio: number) => number): string {
  const kind = goal === undefined || median <= goal ? 'met' : 'missed'
  const middle = y + rowHeight / 2
  return [
    `<text x="${left - 10}" y="${middle + 4}" text-anchor="end">${title}</text>`,
    `<rect class="${kind}" x="${left}" y="${y + 7}" width="${(x(median) - left).toFixed(1)}" height="${rowHeight - 14}" rx="2"/>`,
    `<line class="interval" x1="${x(low)}" x2="${x(high)}" y1="${middle}" y2="${middle}"/>`,
    ...(goal === undefined ? [] : [`<path class="goal" d="M${x(goal)} ${y + 3}V${y + rowHeight - 3}"/>`]),
    `<text class="figure" x="${Math.max(x(median), x(high), x(goal ?? 0)) + 8}" y="${middle + 4}">${median.toFixed(2)}</text>`,
  ].join('')
}

const style = `
text{font:13px system-ui,sans-serif;fill:#1d2733}
.head{font-size:15px;font-weight:600}.quiet{font-size:11px;fill:#5b6875}.figure{font-weight:600}
.ground{fill:#fff}.grid{stroke:#dde3e9}.one{stroke:#8a97a5;stroke-dasharray:3 3}
.met{fill:#2f9e6e}.missed{fill:#d9822b}.interval{stroke:#1d2733;stroke-width:1.5}.goal{stroke:#7b4bd1;stroke-width:3;fill:none}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9aa7b4}.ground{fill:#12181f}.grid{stroke:#2a333d}.one{stroke:#6b7886}.met{fill:#3fbf88}.missed{fill:#f0a04b}.interval{stroke:#e6edf3}.goal{stroke:#b794f6}}
`.replaceAll('\n', '')
