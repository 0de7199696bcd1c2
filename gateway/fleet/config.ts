import { availableParallelism } from 'node:os'
import { z } from '../../core/schema.ts'

/** More processes than this share no machine that we know of; the limit catches a slip of the keyboard. */
const workersMax = 256

export const workersSchema = z
  .union([z.literal('auto'), z.number().int().min(0).max(workersMax)])
  .default('auto')
  .describe(
    'Processes that serve requests. "auto": one per core that is available. 0: the main process serves by itself, for small machines.',
  )

/** How many worker processes the setting stands for on this machine. */
export function workerCount(workers: z.output<typeof workersSchema>): number {
  return workers === 'auto' ? Math.min(workersMax, availableParallelism()) : workers
}
