import { z } from '../core/schema.ts'
import { dnsCacheConfig, stubConfig } from './dns/config.ts'
import { ensConfig } from './ens/config.ts'
import { targetsConfig } from './targets/config.ts'

/** Keys of the resolver that runs inside a gateway: where it asks, what it believes and for how long. */
export const resolverConfig = z.object({
  dns: stubConfig.prefault({}),
  cache: dnsCacheConfig.prefault({}),
  ens: ensConfig.prefault({}),
  targets: targetsConfig.prefault({}),
})

export type ResolverConfig = z.infer<typeof resolverConfig>
