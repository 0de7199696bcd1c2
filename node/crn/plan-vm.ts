import type { ProgramContent } from '../protocol/content.ts'
import { encodeHostLabel } from '../protocol/host-label.ts'
import { findRuntime } from '../protocol/runtimes.ts'
import { UnsupportedProgramError } from './errors.ts'
import type { GuestEntry, GuestSettings } from './guest/settings.ts'

export type Runtime = 'python' | 'node'
export type Encoding = 'plain' | 'zip' | 'squashfs'

/** A file of the network that becomes a read-only volume of the guest. */
export interface PlannedVolume {
  slot: string
  mount: string
  ref: string
  useLatest: boolean
  encoding: Encoding
  /** Name inside the image when the encoding is plain. */
  fileName: string
}

/** Everything that running a program needs, decided from its message alone. */
export interface VmPlan {
  runtime: Runtime
  /** A guest of the pool will do: its runtime is loaded already. Else a guest of that size is booted. */
  memoryMib: number
  volumes: PlannedVolume[]
  settings: GuestSettings
  /** Most time for the head of an answer. */
  answerTimeoutMs: number
}

export interface PlanLimits {
  poolMemoryMib: number
  memoryMibMax: number
  answerTimeoutMs: number
  answerTimeoutMsMax: number
}

const codeMount = '/opt/code'
/** Slots that the guest has for volumes; the first is the code, the last belongs to the link. */
const slots = 'bcdefghijklmno'

/**
 * Decides how to run a program. Reads no clock, no disk, no network.
 * @throws UnsupportedProgramError naming what this host does not offer
 */
export function planVm(itemHash: string, content: ProgramContent, limits: PlanLimits): VmPlan {
  if (content.resources.memory > limits.memoryMibMax) {
    throw new UnsupportedProgramError(
      `it asks for ${content.resources.memory} MiB of memory, this host offers ${limits.memoryMibMax}`,
    )
  }
  const entry = planEntry(content)
  const runtime = planRuntime(content, entry)
  const asked = content.resources.seconds * 1_000
  return {
    runtime,
    memoryMib: Math.max(limits.poolMemoryMib, content.resources.memory),
    volumes: planVolumes(content, entry),
    answerTimeoutMs: Math.min(Math.max(asked, limits.answerTimeoutMs), limits.answerTimeoutMsMax),
    settings: {
      hostname: encodeHostLabel(itemHash),
      volumes: planVolumes(content, entry).map(({ slot, mount }) => ({ slot, mount })),
      workdir: codeMount,
      env: { ...content.variables },
      entry,
    },
  }
}

function planEntry(content: ProgramContent): GuestEntry {
  const { entrypoint, args } = content.code
  const kind = content.code.interface ?? (entrypoint.includes(':') ? 'asgi' : 'binary')
  if (kind === 'asgi') return { kind: 'asgi', word: entrypoint.includes(':') ? entrypoint : `${entrypoint}:app` }
  const path = insideCode(entrypoint)
  if (/\.[cm]?js$/.test(entrypoint)) return { kind: 'node', word: path, args: args ?? [] }
  if (entrypoint.endsWith('.py')) return { kind: 'exec', words: ['python3', path, ...(args ?? [])] }
  return { kind: 'exec', words: [path, ...(args ?? [])] }
}

function insideCode(entrypoint: string): string {
  const parts = entrypoint.split('/').filter((part) => part !== '' && part !== '.')
  if (entrypoint.startsWith('/') || parts.length === 0 || parts.includes('..')) {
    throw new UnsupportedProgramError(`its entrypoint "${entrypoint}" is no path inside the code`)
  }
  return `${codeMount}/${parts.join('/')}`
}

/** The entrypoint decides, for it must fit; a known `runtime.ref` decides what a plain executable finds beside it. */
function planRuntime(content: ProgramContent, entry: GuestEntry): Runtime {
  if (entry.kind !== 'exec') return entry.kind === 'asgi' ? 'python' : 'node'
  if (entry.words[0] === 'python3') return 'python'
  return findRuntime(content.runtime.ref) ?? 'python'
}

function planVolumes(content: ProgramContent, entry: GuestEntry): PlannedVolume[] {
  const { code, data } = content
  const codeName =
    entry.kind === 'asgi' ? `${(entry.word.split(':')[0] as string).split('.')[0]}.py` : lastPart(code.entrypoint)
  const wanted: Omit<PlannedVolume, 'slot'>[] = [
    { mount: codeMount, ref: code.ref, useLatest: code.use_latest, encoding: code.encoding, fileName: codeName },
  ]
  if (data)
    wanted.push({
      mount: absolute(data.mount),
      ref: data.ref,
      useLatest: data.use_latest,
      encoding: data.encoding,
      fileName: 'data',
    })
  for (const volume of content.volumes) {
    if (!('ref' in volume))
      throw new UnsupportedProgramError('ephemeral and persistent volumes are not offered yet; /tmp is writable')
    wanted.push({
      mount: absolute(volume.mount ?? ''),
      ref: volume.ref,
      useLatest: volume.use_latest,
      encoding: 'squashfs',
      fileName: '',
    })
  }
  if (wanted.length > slots.length)
    throw new UnsupportedProgramError(`it has ${wanted.length} volumes, a guest takes ${slots.length}`)
  return wanted.map((volume, index) => ({ ...volume, slot: slots[index] as string }))
}

function absolute(mount: string): string {
  const parts = mount.split('/').filter((part) => part !== '' && part !== '.')
  if (!mount.startsWith('/') || parts.length === 0 || parts.includes('..')) {
    throw new UnsupportedProgramError(`the mount point "${mount}" is no absolute path`)
  }
  return `/${parts.join('/')}`
}

function lastPart(path: string): string {
  return path.split('/').at(-1) as string
}

/** Every ref whose change means a new version of the program. */
export function watchedRefs(plan: VmPlan): string[] {
  return plan.volumes.filter((volume) => volume.useLatest).map((volume) => volume.ref)
}
