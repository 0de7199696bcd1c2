import { parseShape, z } from '../../core/schema.ts'

/** The kinds of message that the network knows and this node applies. */
export const messageTypes = ['POST', 'AGGREGATE', 'STORE', 'PROGRAM', 'INSTANCE', 'FORGET'] as const
export type MessageType = (typeof messageTypes)[number]

// Sources: protocol reference 2.1-2.6 and 2.8. Unknown keys are refused except in STORE. Optional members may be null:
// the reference implementation accepts that, and real messages contain it.
const refCharsMax = 128
const entriesMax = 256
const secondsMax = 10 * 365 * 24 * 3_600
/** Largest `content.time`, unix seconds. */
export const timeSecondsMax = 9_223_372_036

const text = z.string()
const ref = z.string().min(1).max(refCharsMax)
const path = z.string().max(4_096)
const base = { address: z.string().min(1).max(256), time: z.number().min(0).max(timeSecondsMax) }
const recordMax = (keysMax: number) =>
  z
    .record(z.string(), z.unknown())
    .refine((value) => Object.keys(value).length <= keysMax, `holds more than ${keysMax} keys`)

/** Content of a POST: any JSON under a free type; `amend` replaces the content of the post named by `ref`. */
export const postContentSchema = z.strictObject({
  ...base,
  type: text,
  content: z.unknown().optional(),
  ref: z.union([z.string(), z.record(z.string(), z.unknown())]).nullish(),
})
export type PostContent = z.infer<typeof postContentSchema>

/** Content of an AGGREGATE: members merged into the owner's object `key`. */
export const aggregateContentSchema = z.strictObject({
  ...base,
  key: z.union([z.string(), z.strictObject({ name: z.string() })]),
  content: z.record(z.string(), z.unknown()),
})
export type AggregateContent = z.infer<typeof aggregateContentSchema>

/** Content of a STORE: pins a file. Further keys are kept as they are. */
export const storeContentSchema = z.looseObject({
  ...base,
  item_type: z.enum(['storage', 'ipfs']),
  item_hash: ref,
  size: z.number().min(0).nullish(),
  content_type: z.string().nullish(),
  ref: z.string().max(1_024).nullish(),
  metadata: z.record(z.string(), z.unknown()).nullish(),
  payment: z.looseObject({ chain: text.nullish(), type: text.nullish() }).nullish(),
})
export type StoreContent = z.infer<typeof storeContentSchema>

/** Content of a FORGET: the messages to erase. */
export const forgetContentSchema = z.strictObject({
  ...base,
  hashes: z.array(ref).max(1_000).default([]),
  aggregates: z.array(ref).max(1_000).default([]),
  reason: z.string().max(1_000).nullish(),
})
export type ForgetContent = z.infer<typeof forgetContentSchema>

const immutableVolume = z.strictObject({
  ref,
  use_latest: z.boolean().default(true),
  mount: path.nullish(),
  comment: text.nullish(),
})
const ephemeralVolume = z.strictObject({
  ephemeral: z.literal(true),
  size_mib: z.number().int().min(1).max(1_000),
  mount: path.nullish(),
  comment: text.nullish(),
})
const parent = z.strictObject({ ref, use_latest: z.boolean().default(true) })
const persistentVolume = z.strictObject({
  persistence: z.enum(['host', 'store']).nullish(),
  name: text.nullish(),
  size_mib: z.number().int().min(1).max(1_953_125),
  parent: parent.nullish(),
  mount: path.nullish(),
  comment: text.nullish(),
})
/** A volume of a virtual machine: read-only image, scratch, or kept by the host. */
export const volumeSchema = z.union([immutableVolume, ephemeralVolume, persistentVolume])
export type Volume = z.infer<typeof volumeSchema>

const resources = z.strictObject({
  vcpus: z.number().int().min(1).max(256).default(1),
  memory: z.number().int().min(1).max(1_048_576).default(128),
  seconds: z.number().int().min(1).max(secondsMax).default(1),
  published_ports: z
    .array(z.strictObject({ protocol: z.enum(['tcp', 'udp']), port: z.number().int().min(1).max(65_535) }))
    .max(entriesMax)
    .nullish(),
})
const payment = z.strictObject({
  chain: text.nullish(),
  receiver: text.nullish(),
  type: z.enum(['hold', 'superfluid', 'credit']),
})
const cpuRequirement = z.strictObject({
  architecture: z.enum(['x86_64', 'arm64']).nullish(),
  vendor: text.nullish(),
  features: z.array(text).max(entriesMax).nullish(),
})
const nodeRequirement = z.strictObject({
  owner: text.nullish(),
  address_regex: z.string().max(256).nullish(),
  node_hash: ref.nullish(),
  terms_and_conditions: ref.nullish(),
})
const gpuRequirement = z.strictObject({
  vendor: text,
  device_name: text,
  device_class: z.enum(['0300', '0302']),
  device_id: text,
})
const requirements = z.strictObject({
  cpu: cpuRequirement.nullish(),
  node: nodeRequirement.nullish(),
  gpu: z.array(gpuRequirement).max(entriesMax).nullish(),
})
const environment = {
  reproducible: z.boolean().default(false),
  internet: z.boolean().default(false),
  aleph_api: z.boolean().default(false),
  shared_cache: z.boolean().default(false),
}
const variables = z
  .record(z.string().max(128), z.string().max(4_096))
  .refine((value) => Object.keys(value).length <= entriesMax, `holds more than ${entriesMax} variables`)
const executable = {
  ...base,
  allow_amend: z.boolean(),
  metadata: recordMax(entriesMax).nullish(),
  authorized_keys: z.array(z.string().max(8_192)).max(entriesMax).nullish(),
  variables: variables.nullish(),
  resources: resources.default({ vcpus: 1, memory: 128, seconds: 1 }),
  payment: payment.nullish(),
  requirements: requirements.nullish(),
  volumes: z.array(volumeSchema).max(entriesMax).default([]),
  replaces: ref.nullish(),
}
const encoding = z.enum(['plain', 'zip', 'squashfs'])

/** Content of a PROGRAM: code that hosts run in a microVM on request. Absent members get the network's defaults. */
export const programContentSchema = z.strictObject({
  ...executable,
  type: z.literal('vm-function'),
  code: z.strictObject({
    encoding,
    entrypoint: z.string().min(1).max(4_096),
    ref,
    interface: z.enum(['asgi', 'binary']).nullish(),
    args: z.array(z.string().max(4_096)).max(entriesMax).nullish(),
    use_latest: z.boolean().default(false),
  }),
  runtime: z.strictObject({ ref, use_latest: z.boolean().default(true), comment: z.string().default('') }),
  data: z.strictObject({ encoding, mount: path, ref, use_latest: z.boolean().default(false) }).nullish(),
  export: z.strictObject({ encoding, mount: path }).nullish(),
  on: z.strictObject({
    http: z.boolean().default(false),
    message: z.array(recordMax(32)).max(entriesMax).nullish(),
    persistent: z.boolean().nullish(),
  }),
  environment: z.strictObject(environment),
})
export type ProgramContent = z.infer<typeof programContentSchema>

const instanceShape = z.strictObject({
  ...executable,
  rootfs: z.strictObject({
    parent,
    persistence: z.enum(['host', 'store']).nullish(),
    size_mib: z.number().int().min(1).max(1_953_125),
  }),
  environment: z.strictObject({
    ...environment,
    hypervisor: z.enum(['firecracker', 'qemu']).nullish(),
    trusted_execution: z.strictObject({ firmware: ref.nullish(), policy: z.number().int().default(1) }).nullish(),
  }),
})

/** Content of an INSTANCE: a virtual machine with a disk of its own. */
export const instanceContentSchema = instanceShape.check((context) => {
  for (const message of instanceFaults(context.value))
    context.issues.push({ code: 'custom', message, input: context.value })
})
export type InstanceContent = z.infer<typeof instanceContentSchema>

function instanceFaults(value: z.infer<typeof instanceShape>): string[] {
  const faults: string[] = []
  const node = value.requirements?.node
  const paid = value.payment?.type === 'superfluid' || value.payment?.type === 'credit'
  const confidential = value.environment.trusted_execution != null
  const qemu = value.environment.hypervisor === 'qemu'
  if (paid && value.requirements != null && !node?.node_hash)
    faults.push('a paid instance with requirements needs node_hash')
  if (value.requirements?.gpu?.length && !(node?.node_hash && qemu))
    faults.push('a GPU needs node_hash and hypervisor qemu')
  if (confidential && !qemu) faults.push('trusted_execution needs hypervisor qemu')
  if (node?.terms_and_conditions && !(node.node_hash && (paid || confidential))) {
    faults.push('terms_and_conditions need node_hash and a paid or confidential instance')
  }
  return faults
}

/** The typed content of each message type. */
export interface ContentByType {
  POST: PostContent
  AGGREGATE: AggregateContent
  STORE: StoreContent
  PROGRAM: ProgramContent
  INSTANCE: InstanceContent
  FORGET: ForgetContent
}

const schemas: { readonly [T in MessageType]: z.ZodType<ContentByType[T]> } = {
  POST: postContentSchema,
  AGGREGATE: aggregateContentSchema,
  STORE: storeContentSchema,
  PROGRAM: programContentSchema,
  INSTANCE: instanceContentSchema,
  FORGET: forgetContentSchema,
}

/**
 * Checks the content of a message and fills in defaults.
 * @throws InvalidShapeError naming each member that is wrong
 */
export function parseContent<T extends MessageType>(type: T, value: unknown): ContentByType[T] {
  return parseShape(schemas[type], value, `content of the ${type} message`)
}
