import { join } from 'node:path'
import type { Log } from '../../../core/log.ts'
import { type CrnConfig, stateFolders } from '../config.ts'
import { NoHypervisorError } from '../errors.ts'
import type { Hypervisor } from '../ports.ts'
import { fakeHypervisor } from './fake.ts'
import { umlHypervisor } from './uml.ts'

/**
 * Chooses a way to run guests by booting a trial guest with each. `auto` never takes one without a guest kernel.
 * @throws NoHypervisorError with the reason and advice of each that was tried
 */
export async function selectHypervisor(
  config: Pick<CrnConfig, 'stateDir' | 'guestDir' | 'jailUidBase' | 'hypervisor'> & Partial<CrnConfig>,
  ports: { log: Log },
): Promise<Hypervisor> {
  const options = { guestDir: config.guestDir, vmsDir: stateFolders(config).vms, jailUidBase: config.jailUidBase }
  const makers = {
    uml: () => umlHypervisor(options),
    fake: () => fakeHypervisor({ ...options, treesDir: join(config.stateDir, 'trees') }),
  }
  const names = config.hypervisor === 'auto' ? (['uml'] as const) : ([config.hypervisor] as const)
  const refused: { name: string; reason: string; advice: string }[] = []
  for (const name of names) {
    const hypervisor = makers[name]()
    const probed = await hypervisor.probe()
    if (probed.works) return { ...hypervisor, probe: async () => probed }
    ports.log.warn('a hypervisor does not work here', { hypervisor: name, reason: probed.reason })
    refused.push({ name, reason: probed.reason, advice: probed.advice })
  }
  throw new NoHypervisorError(
    `No way to run guests works here: ${refused.map(({ name, reason }) => `${name}: ${reason}`).join('; ')}`,
    {
      hint: refused.map(({ advice }) => advice).join(' '),
      details: refused,
    },
  )
}
