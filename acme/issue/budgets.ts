import type { Clock } from '../../core/clock.ts'
import type { Random } from '../../core/random.ts'
import type { AcmeConfig } from '../config.ts'
import { BudgetUsedUpError } from '../errors.ts'
import { type Limit, takeOne } from './budget.ts'
import { registeredDomainOf } from './names.ts'
import type { Records } from './records.ts'

/** The limits on our own orders, kept in the store: a restart does not refill them, and instances share them. */
export class Budgets {
  #config: AcmeConfig
  #ports: { records: Records; clock: Clock; random: Random }

  constructor(config: AcmeConfig, ports: { records: Records; clock: Clock; random: Random }) {
    this.#config = config
    this.#ports = ports
  }

  /** Takes what one order costs. Renewals have their own purse: new names can never starve them. @throws BudgetUsedUpError */
  async spend(names: readonly string[], kind: 'new' | 'renewal', signal: AbortSignal): Promise<void> {
    const { budgets } = this.#config
    if (kind === 'renewal') return this.#take('renewals', budgets.renewals, signal)
    for (const domain of new Set(names.map(registeredDomainOf))) {
      await this.#take(`domain.${domain.replace('*', 'wildcard')}`, budgets.ordersPerDomain, signal)
    }
    await this.#take('orders', budgets.orders, signal)
  }

  async #take(id: string, limit: Limit, signal: AbortSignal): Promise<void> {
    const { records, clock, random } = this.#ports
    let lock = await records.lock('budget', id, this.#config.lockHoldMs)
    while (lock === undefined) {
      await clock.sleep(10 + 40 * random.float(), signal)
      lock = await records.lock('budget', id, this.#config.lockHoldMs)
    }
    try {
      const before = await records.read('budget', id)
      const taken = takeOne(before?.fullAtMs, clock.nowMs(), limit)
      if ('retryAtMs' in taken) throw new BudgetUsedUpError(id, limit, taken.retryAtMs)
      await records.write('budget', id, taken, lock)
    } finally {
      // What is not given back expires by itself.
      await records.unlock(lock).catch(() => {})
    }
  }
}
