import type { InstanceContent, ProgramContent, Volume } from '../../protocol/content.ts'
import { messageErrorCodes } from '../../protocol/errors.ts'
import { isWellKnownRef } from '../../protocol/runtimes.ts'
import { contentFields } from '../content-fields.ts'
import { DependencyMissingError, PermissionDeniedError, RuleBrokenError } from '../errors.ts'
import type { Change } from '../ports.ts'
import type { Incoming, MessageState } from './state.ts'

/** A STORE that a VM needs: by tag when the latest version counts, else by the STORE itself. */
export interface VmFile {
  ref: string
  useLatest: boolean
  /** Set for the parent image of a disk, which must not be larger than the disk. */
  disk?: { name: string; sizeMib: number }
}

/** Lists the STOREs that a VM names, except those that count as present without a message. */
export function vmFiles(content: ProgramContent | InstanceContent): VmFile[] {
  return allFiles(content).filter(({ ref }) => !isWellKnownRef(ref))
}

function allFiles(content: ProgramContent | InstanceContent): VmFile[] {
  const files: VmFile[] = content.volumes.flatMap(volumeFile)
  if ('rootfs' in content) {
    const { parent, size_mib } = content.rootfs
    files.push({ ref: parent.ref, useLatest: parent.use_latest, disk: { name: 'rootfs', sizeMib: size_mib } })
    return files
  }
  for (const part of [content.code, content.runtime, content.data]) {
    if (part) files.push({ ref: part.ref, useLatest: part.use_latest })
  }
  return files
}

function volumeFile(volume: Volume): VmFile[] {
  if ('ref' in volume) return [{ ref: volume.ref, useLatest: volume.use_latest }]
  if (!('parent' in volume) || !volume.parent) return []
  const { ref, use_latest } = volume.parent
  return [{ ref, useLatest: use_latest, disk: { name: volume.name ?? '', sizeMib: volume.size_mib } }]
}

/** A PROGRAM or INSTANCE passes when everything it names is here. @throws MessageError */
export function applyVm({ message, content }: Incoming<'PROGRAM' | 'INSTANCE'>, state: MessageState): Change[] {
  if (content.replaces) checkReplaces(content.replaces, content.address, state)
  const files = vmFiles(content)
  const missing = [...new Set(files.filter((file) => fileOf(file, state) === undefined).map(({ ref }) => ref))]
  if (missing.length > 0) {
    const text = `The ${message.type} names ${missing.length} STORE message(s) that are not here: ${missing.join(', ')}.`
    throw new DependencyMissingError(messageErrorCodes.vmVolumeNotFound, text, missing)
  }
  for (const file of files) checkDisk(file, state)
  return [{ kind: 'uses', itemHash: message.item_hash, refs: files.map(({ ref }) => ref) }]
}

/** The hash of the file behind a ref, or undefined while it is not here. */
function fileOf(file: VmFile, state: MessageState): string | undefined {
  if (file.useLatest) return state.tags.get(file.ref)?.fileHash
  const store = state.messages.get(file.ref)
  if (store?.status !== 'processed' || store.message.type !== 'STORE') return undefined
  return contentFields(store.content).hash
}

function checkDisk(file: VmFile, state: MessageState): void {
  const hash = fileOf(file, state)
  const sizeBytes = state.files.get(hash ?? '')
  if (!file.disk || hash === undefined || sizeBytes === undefined || sizeBytes <= file.disk.sizeMib * 1_048_576) return
  throw new RuleBrokenError(
    messageErrorCodes.vmVolumeTooSmall,
    `The disk "${file.disk.name}" is smaller than its parent image.`,
    {
      details: [
        {
          volume_name: file.disk.name,
          parent_ref: file.ref,
          parent_file: hash,
          parent_size: sizeBytes,
          volume_size: file.disk.sizeMib * 1_048_576,
        },
      ],
    },
  )
}

function checkReplaces(replaces: string, owner: string, state: MessageState): void {
  const target = state.messages.get(replaces)
  if (target?.status !== 'processed' || !['PROGRAM', 'INSTANCE'].includes(target.message.type)) {
    throw new DependencyMissingError(messageErrorCodes.vmRefNotFound, `The VM ${replaces} to replace is not here.`, [
      replaces,
    ])
  }
  const known = target.content
  if (contentFields(known).owner?.toLowerCase() !== owner.toLowerCase()) {
    throw new PermissionDeniedError(`The VM ${replaces} belongs to another owner.`)
  }
  if (known.replaces) {
    throw new RuleBrokenError(messageErrorCodes.vmUpdateOfUpdate, `The VM ${replaces} is an update itself.`, {
      hint: 'Name the first version in "replaces".',
    })
  }
  if (known.allow_amend !== true) {
    throw new RuleBrokenError(messageErrorCodes.vmAmendNotAllowed, `The VM ${replaces} does not allow amends.`)
  }
}
