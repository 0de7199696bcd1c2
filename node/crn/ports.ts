import type { Duplex } from 'node:stream'

/** What a microVM needs to boot. Paths are on the host. */
export interface VmSpec {
  /** Short unique id, `[a-z0-9-]{1,32}`; names the VM's folder. */
  id: string
  /** `python` or `node`: which root filesystem and zygote. */
  runtime: string
  memoryMib: number
}

/** A block volume to attach: a squashfs image, read-only. */
export interface VmVolume {
  /** `b`, `c`, … : the guest sees `/dev/ubd<slot>` or `/dev/vd<slot>`. */
  slot: string
  imagePath: string
}

/** A booted guest. Disposing it kills everything that belongs to it and waits until that is gone. */
export interface Vm extends AsyncDisposable {
  readonly id: string
  /** The guest-agent link: one byte stream, framed by node/crn/guest/link. Hostile: parse with limits. */
  readonly link: Duplex
  /** Settles when the guest has ended, for whatever reason. */
  readonly ended: Promise<{ reason: string }>
  attach(volume: VmVolume): Promise<void>
  /** Memory really used, bytes. */
  memoryBytes(): Promise<number>
}

/** A way to run guests on this machine. Implementations: user-mode Linux in a bubblewrap jail, QEMU, fake (agent as a plain process). */
export interface Hypervisor {
  readonly name: string
  /** Boots a trial guest. Never decides by the mere presence of a device file. */
  probe(): Promise<{ works: true; detail: string } | { works: false; reason: string; advice: string }>
  /** Resolves when the guest process runs; readiness is told over the link. @throws AppError */
  create(spec: VmSpec): Promise<Vm>
}

/** Where the host reads messages and files. Implementations: the network client, a table for tests. Contents are verified by the caller. */
export interface NetworkSource {
  /** The PROGRAM content and its envelope, signature already verified. @throws AppError 404 when unknown, 410 when forgotten */
  program(itemHash: string, signal: AbortSignal): Promise<{ content: Record<string, unknown>; owner: string }>
  /** Follows `use_latest` from a STORE's item hash to the file hash that counts now. @throws AppError */
  fileHash(ref: string, owner: string, useLatest: boolean, signal: AbortSignal): Promise<string>
  /** Bytes of a file by SHA-256; NOT verified here. @throws AppError */
  file(hash: string, signal: AbortSignal): AsyncIterable<Uint8Array>
  /** Calls back when a file behind `ref` changed (a STORE with that ref was processed). */
  onFileChanged(listener: (ref: string) => void): Disposable
}
