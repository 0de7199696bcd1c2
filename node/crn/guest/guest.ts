import http from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../../core/clock.ts'
import { describeError } from '../../../core/errors.ts'
import type { Random } from '../../../core/random.ts'
import { VmBootError } from '../errors.ts'
import type { Hypervisor, Vm, VmSpec } from '../ports.ts'
import { GuestLink } from './link.ts'
import { LogRing } from './log-ring.ts'
import type { GuestSettings } from './settings.ts'

/** Program servers close idle connections after 5 s (Node) or later; we must be the first to do so. */
const keepAliveMs = 3_000
const idleConnectionsMax = 16

export interface GuestOptions {
  clock: Clock
  random: Random
  bootTimeoutMs: number
  connectionsMax: number
  logBytesMax: number
  logBytesPerSecondMax: number
  /** Ends a boot that is under way. */
  signal?: AbortSignal
  /** Serves one request inside the guest before it is given out, so that code paths are loaded. */
  warmUp?: boolean
}

/** A booted guest with its link: the unit that the pool hands out and an execution owns. Used once, for one program. */
export interface Guest extends AsyncDisposable {
  readonly id: string
  readonly runtime: string
  readonly memoryMib: number
  readonly bootId: string
  readonly vm: Vm
  readonly logs: LogRing
  /** What the agent said when it could not go on, for the log only. */
  failure(): string
  readonly ended: Promise<{ reason: string }>
  readonly isGone: boolean
  /** A new connection to the program. @throws GuestEndedError, HostFullError */
  connect(): Duplex
  /** Connections to the program that are used again. */
  readonly agent: http.Agent
  /** Loads the program. Resolves when it accepts connections. */
  start(settings: GuestSettings, timeoutMs: number): Promise<void>
}

/** Boots a guest until its language runtime waits for code. @throws VmBootError with the console's last words in its cause */
export async function bootGuest(hypervisor: Hypervisor, spec: VmSpec, options: GuestOptions): Promise<Guest> {
  const vm = await hypervisor.create(spec)
  const logs = new LogRing(options.logBytesMax)
  let failure = ''
  const slowDown = logBrake(vm, options)
  const link = new GuestLink(vm.link, {
    random: (count) => options.random.bytes(count),
    nowMs: () => options.clock.nowMs(),
    streamsMax: options.connectionsMax,
    onLog: (_output, bytes) => {
      logs.push(bytes)
      slowDown(bytes.length)
    },
    onFailed: (stage, text) => {
      failure = `${stage}: ${text}`
      logs.push(Buffer.from(`[host] the guest failed at ${stage}: ${text}\n`))
    },
  })
  const giveUp = (): void => link.close(new VmBootError('the host is stopping.'))
  options.signal?.addEventListener('abort', giveUp)
  try {
    options.signal?.throwIfAborted()
    const { bootId } = await within(link.hello, link, options.bootTimeoutMs)
    await within(link.zygoteReady, link, options.bootTimeoutMs)
    const guest = makeGuest(spec, vm, link, logs, bootId, () => failure)
    if (options.warmUp) await within(callOnce(guest), link, options.bootTimeoutMs)
    return guest
  } catch (cause) {
    link.close()
    await vm[Symbol.asyncDispose]()
    const { reason } = await vm.ended
    const words = [failure, reason, logs.text().slice(-500)].filter((text) => text !== '').join('; ')
    throw new VmBootError(`A ${spec.runtime} guest did not boot: ${describeError(cause)}`, { cause: new Error(words) })
  } finally {
    options.signal?.removeEventListener('abort', giveUp)
  }
}

/** Stops reading from a guest that prints too much until the second is over: the link's back pressure does the rest. */
function logBrake(vm: Vm, { clock, logBytesPerSecondMax }: GuestOptions): (bytes: number) => void {
  let windowStartMs = clock.monotonicMs()
  let windowBytes = 0
  return (bytes) => {
    const now = clock.monotonicMs()
    if (now - windowStartMs >= 1_000) {
      windowStartMs = now
      windowBytes = 0
    }
    windowBytes += bytes
    if (windowBytes <= logBytesPerSecondMax || vm.link.isPaused()) return
    vm.link.pause()
    clock.schedule(Math.max(1, windowStartMs + 1_000 - now), () => vm.link.resume())
  }
}

function makeGuest(spec: VmSpec, vm: Vm, link: GuestLink, logs: LogRing, bootId: string, failure: () => string): Guest {
  const agent = new http.Agent({ keepAlive: true, maxFreeSockets: idleConnectionsMax, timeout: keepAliveMs })
  agent.createConnection = () => link.open()
  let gone = false
  const ended = Promise.race([vm.ended, link.ended.then((error) => ({ reason: describeError(error) }))])
  void ended.then(() => {
    gone = true
    link.close()
    agent.destroy()
    return vm[Symbol.asyncDispose]()
  })
  return {
    id: spec.id,
    runtime: spec.runtime,
    memoryMib: spec.memoryMib,
    bootId,
    vm,
    logs,
    agent,
    ended,
    failure,
    get isGone() {
      return gone || link.isOver
    },
    connect: () => link.open(),
    async start(settings, timeoutMs) {
      // Again: the guest may have waited for hours, and its clock must be right before the program sees it.
      link.reseed()
      link.configure(settings)
      await within(link.programReady, link, timeoutMs)
    },
    async [Symbol.asyncDispose]() {
      gone = true
      agent.destroy()
      link.close()
      await vm[Symbol.asyncDispose]()
    },
  }
}

async function within<T>(wanted: Promise<T>, link: GuestLink, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new VmBootError(`it was not ready within ${timeoutMs} ms.`)), timeoutMs)
  })
  const ended = link.ended.then((error) => {
    throw error
  })
  try {
    return await Promise.race([wanted, late, ended])
  } finally {
    clearTimeout(timer)
  }
}

/** One request to the warm-up server of the zygote, over the whole path. */
function callOnce(guest: Guest): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { createConnection: () => guest.connect(), path: '/', host: 'warm-up' },
      (response) => {
        response.resume()
        response.on('end', resolve)
        response.on('error', reject)
      },
    )
    request.on('error', reject)
    request.end()
  })
}
