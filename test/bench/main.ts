/**
 * The benchmarks: `npm run -s bench -- NAME [options]`. Standard output belongs to the result; everything else goes to standard error.
 */
interface Bench {
  /** @returns the exit code */
  run(argv: readonly string[]): Promise<number>
}

const benches: Record<string, { summary: string; load: () => Promise<Bench> }> = {
  dataplane: {
    summary: 'CPU per request of the gateway beside nginx, HAProxy, Caddy, http-proxy and undici',
    load: () => import('./dataplane.ts'),
  },
  soak: {
    summary: 'mixed and hostile traffic for minutes: no wrong byte, no unexplained error, flat memory',
    load: () => import('./soak.ts'),
  },
  balance: {
    summary: 'simulated hosts: p99 and error rate of the choice of hosts beside simpler ones',
    load: () => import('./balance/balance-bench.ts'),
  },
}

const [name, ...argv] = process.argv.slice(2)
const bench = name !== undefined && Object.hasOwn(benches, name) ? benches[name] : undefined
if (!bench) {
  process.stderr.write('Usage: npm run -s bench -- NAME [options]   (each NAME has --help)\n\n')
  for (const [each, { summary }] of Object.entries(benches)) process.stderr.write(`  ${each.padEnd(10)} ${summary}\n`)
  process.exit(name === undefined || name === '--help' ? 0 : 2)
}
process.exitCode = await (await bench.load()).run(argv)
