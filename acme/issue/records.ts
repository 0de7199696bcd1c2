import { createHash } from 'node:crypto'
import { AppError } from '../../core/errors.ts'
import { parseShape, z } from '../../core/schema.ts'
import { StoreDownError, StoreRecordError } from '../errors.ts'
import type { CertificateStore, Lock } from '../ports.ts'

const ms = z.number()

const certificateShape = z.object({
  names: z.array(z.string()),
  /** `managed`: asked for by the operator; `demand`: by a visitor, and subject to the policy again at renewal. */
  kind: z.enum(['managed', 'demand']),
  orderUrl: z.string(),
  certificatePem: z.string(),
  keyPem: z.string(),
  notBeforeMs: ms,
  notAfterMs: ms,
})
/** A certificate with its key. */
export type CertificateRecord = z.infer<typeof certificateShape>

const orderShape = z.object({
  names: z.array(z.string()),
  kind: z.enum(['managed', 'demand']),
  orderUrl: z.string(),
  /** Key of the certificate to be: kept so that a certificate issued just before a crash can still be used. */
  keyPem: z.string(),
  startedAtMs: ms,
})
/** An order that is under way, written before its challenges start. */
export type OrderRecord = z.infer<typeof orderShape>

const failureShape = z.object({
  code: z.string(),
  message: z.string(),
  hint: z.string().optional(),
  fault: z.enum(['caller', 'upstream', 'ours']),
  count: z.number(),
  atMs: ms,
  retryAtMs: ms,
})

const accountShape = z.object({ privateJwk: z.looseObject({ kty: z.literal('EC'), d: z.string() }) })
const budgetShape = z.object({ fullAtMs: ms })

const shapes = {
  certificate: certificateShape,
  order: orderShape,
  failure: failureShape,
  account: accountShape,
  budget: budgetShape,
}
type Kind = keyof typeof shapes
type RecordOf<K extends Kind> = z.infer<(typeof shapes)[K]>

/** The store as typed records of one CA: `<ca>/<kind>/<id>`, JSON. Any trouble becomes StoreDownError or StoreRecordError. */
export class Records {
  #store: CertificateStore
  #ca: string

  /** Records of different CAs (staging, production) never mix: the prefix is derived from the directory's address. */
  constructor(store: CertificateStore, directoryUrl: string) {
    this.#store = store
    this.#ca = createHash('sha256').update(directoryUrl).digest('hex').slice(0, 12)
  }

  async read<K extends Kind>(kind: K, id: string): Promise<RecordOf<K> | undefined> {
    const key = this.#key(kind, id)
    const record = await guard(`read ${key}`, () => this.#store.read(key))
    if (record === undefined) return undefined
    try {
      return parseShape(
        shapes[kind] as unknown as z.ZodType<RecordOf<K>>,
        JSON.parse(Buffer.from(record.value).toString()),
        kind,
      )
    } catch (cause) {
      throw new StoreRecordError(key, cause)
    }
  }

  async write<K extends Kind>(kind: K, id: string, record: RecordOf<K>, lock: Lock): Promise<void> {
    const key = this.#key(kind, id)
    await guard(`write ${key}`, () => this.#store.write(key, Buffer.from(JSON.stringify(record)), lock))
  }

  async remove(kind: Kind, id: string, lock: Lock): Promise<void> {
    const key = this.#key(kind, id)
    await guard(`remove ${key}`, () => this.#store.remove(key, lock))
  }

  /** The ids of all records of a kind. */
  async ids(kind: Kind): Promise<string[]> {
    const prefix = this.#key(kind, '')
    const keys = await guard(`list ${prefix}`, () => this.#store.list(prefix))
    return keys.map((key) => key.slice(prefix.length))
  }

  /** Takes the lock for a kind of work on `id`; undefined while another holder has it. */
  lock(kind: Kind | 'set', id: string, holdMs: number): Promise<Lock | undefined> {
    return guard(`lock ${id}`, () => this.#store.lock(this.#key(kind, id), holdMs))
  }

  extend(lock: Lock, holdMs: number): Promise<Lock | undefined> {
    return guard(`extend ${lock.key}`, () => this.#store.extend(lock, holdMs))
  }

  unlock(lock: Lock): Promise<void> {
    return guard(`unlock ${lock.key}`, () => this.#store.unlock(lock))
  }

  #key(kind: string, id: string): string {
    return `${this.#ca}/${kind}/${id}`
  }
}

async function guard<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw error instanceof AppError ? error : new StoreDownError(what, error)
  }
}
