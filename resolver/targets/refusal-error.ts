import type { AppError } from '../../core/errors.ts'
import {
  DomainConflictError,
  DomainNotProvenError,
  DomainOwnerDiffersError,
  LookupFailedError,
  type RecordAdvice,
  TargetUnknownError,
  TargetUnsupportedError,
} from '../errors.ts'
import type { RefusalReason, Verdict } from './decide-target.ts'

const errorOf = {
  'not-proven': DomainNotProvenError,
  conflict: DomainConflictError,
  'owner-differs': DomainOwnerDiffersError,
  'unknown-hash': TargetUnknownError,
  unsupported: TargetUnsupportedError,
  'lookup-failed': LookupFailedError,
} as const satisfies Record<RefusalReason, unknown>

/** The error of a refused domain; `zone` is that of the gateway. `details` holds one `{ record, type, found, expected }` per record to write or correct. */
export function refusalError(host: string, zone: string, verdict: Extract<Verdict, { verdict: 'refused' }>): AppError {
  const details: RecordAdvice[] = verdict.records
    .filter((line) => line.state !== 'ok')
    // What must be changed comes before what may be meant so.
    .sort((a, b) => Number(a.state === 'warning') - Number(b.state === 'warning'))
    .map(({ record, type, found, expected }) => ({ record, type, found, expected }))
  return new errorOf[verdict.reason](verdict.message, { details, hint: hintFor(host, zone, verdict.reason, details) })
}

function hintFor(host: string, zone: string, reason: RefusalReason, details: readonly RecordAdvice[]): string {
  if (reason === 'lookup-failed') return 'Nothing is wrong with the records as far as is known; try again in a moment.'
  const first = details[0]
  const write = first ? `At ${first.record} (${first.type}) write: ${first.expected}. ` : ''
  return `${write}Then run "lastmile domain check ${host} --zone ${zone}".`
}
