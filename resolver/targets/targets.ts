import type { Clock } from '../../core/clock.ts'
import { AppError } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import {
  HostLabelInvalidError,
  IssuanceRefusedError,
  LookupFailedError,
  NameNotFoundError,
  type RecordAdvice,
  TargetUnknownError,
  TargetUnsupportedError,
} from '../errors.ts'
import type { ResolverMetrics } from '../metrics.ts'
import type { DnsSource, EnsSource, MessageSource } from '../ports.ts'
import { pointsToUs } from './advice.ts'
import type { TargetsConfig } from './config.ts'
import { decideEns } from './decide-ens.ts'
import { decideDomain, type ReportedRecord, type Verdict } from './decide-target.ts'
import type { DomainFacts } from './facts.ts'
import { type HostKind, hostKind } from './host-kind.ts'
import { lookUpDomain } from './look-up-domain.ts'
import { refusalError } from './refusal-error.ts'
import type { Resolution, Target } from './target.ts'

export interface TargetsPorts {
  dns: DnsSource
  ens: EnsSource
  messages: MessageSource
  clock: Clock
  log: Log
  metrics?: ResolverMetrics
}

/** Everything about a host name, for `lastmile domain check` and the status page. */
export interface DomainReport {
  host: string
  /** Which rule speaks for this name; undefined for the gateway's own name and for malformed labels. */
  via: Resolution['via'] | undefined
  verdict: 'ok' | 'refused'
  target: Target | undefined
  owner: string | undefined
  /** Error code and message when refused. */
  code: string | undefined
  message: string
  hint: string | undefined
  /** One line per record, good ones included, in the order in which an owner sets them. */
  records: readonly ReportedRecord[]
  /** Whether the host leads to this gateway; undefined where the question makes no sense. */
  pointsHere: boolean | undefined
}

export interface Targets {
  /** Where a host leads. @throws AppError with `details: RecordAdvice[]` when it leads nowhere or is not proven */
  resolve(host: string, signal: AbortSignal): Promise<Resolution>
  /** @throws AppError when no certificate may be ordered for the name: it leads nowhere, is not proven, or does not point here */
  checkIssuance(name: string, signal: AbortSignal): Promise<void>
  domainReport(host: string, signal: AbortSignal): Promise<DomainReport>
}

/** Creates the naming rules over their sources. Holds no state: caches are in the sources and in the caller. */
export function createTargets(config: TargetsConfig, ports: TargetsPorts): Targets {
  const resolve = async (host: string, signal: AbortSignal): Promise<Resolution> => {
    const kind = hostKind(host, config.zones)
    const via = viaOf(kind)
    try {
      const resolution = await withDeadline(config, ports.clock, signal, (s) =>
        resolveKind(host, kind, config, ports, s),
      )
      ports.metrics?.targets.add({ via, result: 'ok' })
      return resolution
    } catch (error) {
      ports.metrics?.targets.add({ via, result: error instanceof AppError ? error.code : 'error' })
      throw error
    }
  }
  return {
    resolve,
    checkIssuance: (name, signal) =>
      withDeadline(config, ports.clock, signal, (s) => checkIssuance(name, config, ports, resolve, s)),
    domainReport: (host, signal) =>
      withDeadline(config, ports.clock, signal, (s) => reportOn(host, config, ports, resolve, s)),
  }
}

async function resolveKind(
  host: string,
  kind: HostKind,
  config: TargetsConfig,
  ports: TargetsPorts,
  signal: AbortSignal,
): Promise<Resolution> {
  switch (kind.kind) {
    case 'program':
      return { target: await labelTarget(host, kind.itemHash, ports, signal), via: 'label', ttlMs: config.ttlMsMax }
    case 'static':
      return { target: { kind: 'static', cid: kind.cid }, via: 'label', ttlMs: config.ttlMsMax }
    case 'ens':
      return { target: await ensTarget(kind.name, ports, signal), via: 'ens', ttlMs: config.ensTtlMs }
    case 'domain': {
      const verdict = decideDomain(await lookUpDomain(host, config, ports, signal))
      if (verdict.verdict === 'refused') throw refusalError(host, config.zones[0] ?? '', verdict)
      return { target: verdict.target, via: 'dns', ttlMs: clampTtl(verdict, config) }
    }
    case 'apex':
      throw new NameNotFoundError(`${host} is the gateway itself, not a site.`, { hint: siteNamesHint(kind.zone) })
    case 'bad-label':
      throw labelError(host, kind)
  }
}

/** A label's own message decides what it is. If the network cannot be asked now it is taken for a program: a host checks it anyway. */
async function labelTarget(host: string, itemHash: string, ports: TargetsPorts, signal: AbortSignal): Promise<Target> {
  try {
    return await messageTarget(itemHash, { record: host, type: 'label' }, ports, signal)
  } catch (error) {
    if (error instanceof AppError && error.fault === 'upstream') return { kind: 'program', itemHash }
    throw error
  }
}

async function messageTarget(
  itemHash: string,
  place: { record: string; type: string },
  ports: TargetsPorts,
  signal: AbortSignal,
): Promise<Target> {
  const message = await ports.messages.message(itemHash, signal)
  if (message?.type === 'PROGRAM') return { kind: 'program', itemHash }
  if (message?.type === 'STORE' && message.cid) return { kind: 'static', cid: message.cid }
  const expected = 'the hash of a PROGRAM message, or of a STORE message of an IPFS directory'
  const details: RecordAdvice[] = [{ ...place, found: itemHash, expected }]
  if (!message) {
    const hint = 'Check that the message was published and processed; it takes a few seconds after publishing.'
    throw new TargetUnknownError(`The network does not know the hash ${itemHash}.`, { hint, details })
  }
  const text = `${itemHash} is a message of type ${message.type}, which cannot be served here.`
  throw new TargetUnsupportedError(text, { hint: `Name ${expected}.`, details })
}

async function ensTarget(name: string, ports: TargetsPorts, signal: AbortSignal): Promise<Target> {
  const decision = decideEns(name, await ports.ens.records(name, signal))
  if (decision.kind === 'cid') return { kind: 'static', cid: decision.cid }
  if (decision.kind === 'hash') {
    return messageTarget(decision.itemHash, { record: `text aleph.vm of ${name}`, type: 'ENS' }, ports, signal)
  }
  const { record, found, expected, reason } = decision
  const options = { details: [{ record, type: 'ENS', found, expected }], hint: `Set the ${record} to ${expected}.` }
  if (reason === 'unsupported')
    throw new TargetUnsupportedError(`The ${record} is ${found}, which cannot be served here.`, options)
  if (reason === 'invalid') throw new NameNotFoundError(`The ${record} is "${found}", which is no hash.`, options)
  throw new NameNotFoundError(`The ENS name ${name} leads to no program and no content.`, options)
}

async function checkIssuance(
  name: string,
  config: TargetsConfig,
  ports: TargetsPorts,
  resolve: Targets['resolve'],
  signal: AbortSignal,
): Promise<void> {
  if (config.zones.includes(name.replace(/^\*\./, ''))) return
  if (name.includes('*')) {
    throw new IssuanceRefusedError(`No certificate is ordered for ${name}: wildcards only for the gateway's own zones.`)
  }
  const kind = hostKind(name, config.zones)
  if (kind.kind === 'ens' && kind.zone === undefined) {
    const hint = `Use ${name}.${config.zones[0]}, or the local resolver with its own certificate authority.`
    throw new IssuanceRefusedError(`No public certificate authority issues for ${name}: .eth is not in DNS.`, { hint })
  }
  if (kind.kind !== 'domain') return void (await resolve(name, signal))
  const facts = await lookUpDomain(name, config, ports, signal)
  const verdict = decideDomain(facts)
  if (verdict.verdict === 'refused') throw refusalError(name, config.zones[0] ?? '', verdict)
  if (leadsElsewhere(facts)) throw elsewhereError(name, verdict.records)
}

/** Whether the CA could not reach us by this name. With no addresses configured, an A record gets the benefit of the doubt. */
function leadsElsewhere(facts: DomainFacts): boolean {
  if (pointsToUs(facts)) return false
  const plainAddress = facts.address.state === 'found' && facts.address.chain.length === 0
  return !(plainAddress && facts.gatewayAddresses.length === 0)
}

function elsewhereError(name: string, records: readonly ReportedRecord[]): IssuanceRefusedError {
  const route = records.find((record) => record.record === name)
  const details = route ? [adviceOf(route)] : []
  const hint = `Write at ${name}: ${route?.expected}. A certificate is ordered when the name leads here.`
  return new IssuanceRefusedError(`${name} does not lead to this gateway: found ${route?.found}.`, { hint, details })
}

async function reportOn(
  host: string,
  config: TargetsConfig,
  ports: TargetsPorts,
  resolve: Targets['resolve'],
  signal: AbortSignal,
): Promise<DomainReport> {
  const kind = hostKind(host, config.zones)
  const blank = { host, via: viaOrNone(kind), target: undefined, owner: undefined, code: undefined, hint: undefined }
  if (kind.kind === 'domain') {
    const facts = await lookUpDomain(host, config, ports, signal)
    const verdict = decideDomain(facts)
    const shared = { ...blank, owner: verdict.owner, records: verdict.records, pointsHere: pointsToUs(facts) }
    if (verdict.verdict === 'ok')
      return { ...shared, verdict: 'ok', target: verdict.target, message: `${host} is ready.` }
    const error = refusalError(host, config.zones[0] ?? '', verdict)
    return { ...shared, verdict: 'refused', code: error.code, message: error.message, hint: error.hint }
  }
  try {
    const { target } = await resolve(host, signal)
    return { ...blank, verdict: 'ok', target, message: `${host} is ready.`, records: [], pointsHere: undefined }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    const details = Array.isArray(error.details) ? (error.details as RecordAdvice[]) : []
    const records = details.map((advice): ReportedRecord => ({ ...advice, state: 'wrong' }))
    const { code, message, hint } = error
    return { ...blank, verdict: 'refused', code, message, hint, records, pointsHere: undefined }
  }
}

function labelError(host: string, kind: Extract<HostKind, { kind: 'bad-label' }>): HostLabelInvalidError {
  const expected = '52 characters of a-z2-7 (base32 of the 32-byte item hash), a CIDv1, or <name>.eth'
  return new HostLabelInvalidError(`"${kind.label}" is no label of a program: ${kind.why}.`, {
    hint: siteNamesHint(kind.zone),
    details: [{ record: host, type: 'label', found: kind.label, expected }],
  })
}

function siteNamesHint(zone: string): string {
  return `Sites here are <52 characters of a-z2-7>.${zone}, <CIDv1>.${zone} and <name>.eth.${zone}.`
}

function adviceOf({ record, type, found, expected }: ReportedRecord): RecordAdvice {
  return { record, type, found, expected }
}

function clampTtl(verdict: Verdict, config: TargetsConfig): number {
  return Math.max(config.ttlMsMin, Math.min(config.ttlMsMax, verdict.ttlSeconds * 1_000))
}

function viaOf(kind: HostKind): string {
  return viaOrNone(kind) ?? 'none'
}

function viaOrNone(kind: HostKind): Resolution['via'] | undefined {
  if (kind.kind === 'domain') return 'dns'
  if (kind.kind === 'ens') return 'ens'
  return kind.kind === 'program' || kind.kind === 'static' ? 'label' : undefined
}

async function withDeadline<T>(
  config: TargetsConfig,
  clock: Clock,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stop = new AbortController()
  using _timer = clock.schedule(config.lookupMsMax, () => stop.abort(lookupTooLong(config.lookupMsMax)))
  return await work(AbortSignal.any([signal, stop.signal]))
}

function lookupTooLong(ms: number): LookupFailedError {
  return new LookupFailedError(`Looking the name up took more than ${ms} ms.`, { hint: 'Try again in a moment.' })
}
