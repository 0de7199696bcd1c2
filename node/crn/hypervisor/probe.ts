import { describeError } from '../../../core/errors.ts'
import { systemRandom } from '../../../core/random.ts'
import { GuestLink } from '../guest/link.ts'
import type { Hypervisor } from '../ports.ts'

/** Booting takes 1.3 s on an idle machine; a machine where it takes longer than this would serve nobody. */
const probeTimeoutMs = 20_000

/** Boots a trial guest without a runtime and waits for its word. The only proof that counts (microVM reference 1). */
export async function probeByBoot(create: Hypervisor['create']): ReturnType<Hypervisor['probe']> {
  const startedAt = performance.now()
  const id = `probe-${process.pid}-${Buffer.from(systemRandom.bytes(4)).toString('hex')}`
  const vm = await create({ id, runtime: 'none', memoryMib: 64 }).catch((error: unknown) => error as Error)
  if (vm instanceof Error) return { works: false, reason: describeError(vm), advice }
  const link = new GuestLink(vm.link, { random: (count) => systemRandom.bytes(count), nowMs: () => Date.now() })
  const timer = setTimeout(
    () => link.close(new Error(`no word from the guest within ${probeTimeoutMs} ms`)),
    probeTimeoutMs,
  )
  try {
    await link.zygoteReady
    return { works: true, detail: `a trial guest booted in ${Math.round(performance.now() - startedAt)} ms` }
  } catch (error) {
    link.close()
    const { reason } = await vm.ended
    return { works: false, reason: `${describeError(error)} (${reason})`, advice }
  } finally {
    clearTimeout(timer)
    await vm[Symbol.asyncDispose]()
  }
}

const advice =
  'User namespaces and ptrace must be allowed for this user: see sysctl kernel.unprivileged_userns_clone and the container settings.'
