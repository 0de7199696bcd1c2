import { readFileSync } from 'node:fs'
import { AppError } from './errors.ts'
import { InvalidShapeError, parseShape, z } from './schema.ts'

/** The configuration cannot be used; the message names the file or variable and the key. */
export class ConfigError extends AppError {
  readonly code = 'CONFIG_INVALID'
  readonly fault = 'caller'
}

export type ConfigSchema = z.ZodObject<Record<string, z.ZodType>>

export interface ConfigInputs {
  /** Path of a JSON file; absent means none. */
  file?: string | undefined
  env?: Readonly<Record<string, string | undefined>>
  /** Values from the command line by dotted key: `{ 'listen.https': '8443' }`. */
  flags?: Readonly<Record<string, string>>
  /** Prefix of environment variables; `LASTMILE_GATEWAY` makes `LASTMILE_GATEWAY_LISTEN__HTTPS` set `listen.https`. */
  envPrefix: string
}

export interface LoadedConfig<T> {
  config: T
  /** For each leaf key (dotted), where its value came from: `--set KEY`, `env NAME`, `file PATH` or `default`. */
  sources: ReadonlyMap<string, string>
}

/**
 * Reads a configuration: defaults of the schema < file < environment < flags.
 * @throws ConfigError naming the key, the value's origin and what is allowed; an unknown key is an error, not ignored.
 */
export function loadConfig<S extends ConfigSchema>(schema: S, inputs: ConfigInputs): LoadedConfig<z.infer<S>> {
  const given = new Map<string, string>()
  const raw: Record<string, unknown> = {}
  if (inputs.file !== undefined) {
    const whole = new Set(describeConfig(schema).map(({ key }) => key))
    for (const [key, value] of leaves(readJsonFile(inputs.file), whole)) {
      setAt(raw, key, value)
      given.set(key, `file ${inputs.file}`)
    }
  }
  for (const leaf of describeConfig(schema)) {
    const name = envName(inputs.envPrefix, leaf.key)
    const text = inputs.env?.[name]
    if (text === undefined) continue
    setAt(raw, leaf.key, fromText(text))
    given.set(leaf.key, `env ${name}`)
  }
  for (const [key, text] of Object.entries(inputs.flags ?? {})) {
    setAt(raw, key, fromText(text))
    given.set(key, `--set ${key}`)
  }
  refuseUnknown(schema, given)
  try {
    const config = parseShape(schema as unknown as z.ZodType<z.infer<S>>, raw, 'configuration')
    const sources = new Map(describeConfig(schema).map((leaf) => [leaf.key, originOf(leaf.key, given)]))
    return { config, sources }
  } catch (error) {
    if (!(error instanceof InvalidShapeError)) throw error
    const keys = [...given].map(([key, origin]) => `${key} (${origin})`).join(', ')
    throw new ConfigError(error.message, {
      hint: `Values were given for: ${keys || 'nothing'}. The command "explain" lists every key.`,
    })
  }
}

/** A misspelt key must not pass for a default, at whatever depth. @throws ConfigError that names the nearest known keys */
function refuseUnknown(schema: ConfigSchema, given: ReadonlyMap<string, string>): void {
  const known = describeConfig(schema).map(({ key }) => key)
  for (const [key, origin] of given) {
    // A value for a whole group (an empty one, say) is for the schema to judge.
    if (known.some((leaf) => key === leaf || key.startsWith(`${leaf}.`) || leaf.startsWith(`${key}.`))) continue
    const siblings = known.filter((leaf) => leaf.startsWith(key.slice(0, key.lastIndexOf('.') + 1)))
    throw new ConfigError(`There is no configuration key "${key}" (${origin}).`, {
      hint: `Keys there: ${(siblings.length > 0 ? siblings : known).slice(0, 12).join(', ')}. The command "explain" lists every key.`,
    })
  }
}

function originOf(key: string, given: ReadonlyMap<string, string>): string {
  const exact = given.get(key)
  if (exact) return exact
  for (const [candidate, origin] of given) if (candidate.startsWith(`${key}.`)) return origin
  return 'default'
}

export interface ConfigLeaf {
  key: string
  description: string
  default: unknown
}

/** Lists every key of a schema with its description and default, for `explain` and the generated reference. */
export function describeConfig(schema: ConfigSchema, prefix = ''): ConfigLeaf[] {
  return Object.entries(schema.shape).flatMap(([name, field]) => {
    const key = prefix + name
    const inner = unwrap(field)
    if (inner instanceof z.ZodObject) return describeConfig(inner as unknown as ConfigSchema, `${key}.`)
    return [{ key, description: field.description ?? inner.description ?? '', default: defaultOf(field) }]
  })
}

function unwrap(field: z.ZodType): z.ZodType {
  let current: z.ZodType = field
  while (current instanceof z.ZodDefault || current instanceof z.ZodOptional || current instanceof z.ZodPrefault) {
    current = current.unwrap() as z.ZodType
  }
  return current
}

function defaultOf(field: z.ZodType): unknown {
  const result = field.safeParse(undefined)
  return result.success ? result.data : '(required)'
}

/** The environment variable that sets `key`: dots become two underscores, camel case becomes words. */
export function envName(prefix: string, key: string): string {
  const words = key.replaceAll('.', '__').replace(/([a-z0-9])([A-Z])/g, '$1_$2')
  return `${prefix}_${words.toUpperCase()}`
}

/** Numbers, booleans, lists and objects may be written as JSON; everything else is taken as text. */
function fromText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function readJsonFile(path: string): Record<string, unknown> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new ConfigError(`The configuration file ${path} cannot be read.`, {
      cause,
      hint: 'Give its path with --config.',
    })
  }
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch (cause) {
    throw new ConfigError(`The configuration file ${path} is not JSON: ${(cause as Error).message}.`, { cause })
  }
  throw new ConfigError(`The configuration file ${path} must hold one JSON object.`)
}

/** Takes groups apart, down to the keys in `whole`: a value that is an object by itself may have names with dots inside. */
function leaves(value: Record<string, unknown>, whole: ReadonlySet<string>, prefix = ''): [string, unknown][] {
  return Object.entries(value).flatMap(([name, inner]): [string, unknown][] =>
    isGroup(inner) && !whole.has(prefix + name) ? leaves(inner, whole, `${prefix}${name}.`) : [[prefix + name, inner]],
  )
}

function isGroup(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length > 0
}

function setAt(target: Record<string, unknown>, key: string, value: unknown): void {
  const names = key.split('.')
  let node = target
  for (const name of names.slice(0, -1)) {
    const next = node[name]
    const child: Record<string, unknown> = typeof next === 'object' && next !== null ? { ...next } : {}
    node[name] = child
    node = child
  }
  node[names.at(-1) as string] = value
}
