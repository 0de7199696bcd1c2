import { framePayloadBytesMax } from './frame.ts'

/** What a guest is told about the program it shall run. */
export interface GuestSettings {
  /** At most 63 letters, digits and dashes. */
  hostname: string
  volumes: readonly { slot: string; mount: string }[]
  /** Absolute folder in the guest. */
  workdir: string
  env: Readonly<Record<string, string>>
  entry: GuestEntry
}

/** `asgi`: `word` is "module:attribute". `node`: a file that is imported. `exec`: a program that listens on port 8080. */
export type GuestEntry =
  | { kind: 'asgi' | 'node'; word: string; args?: readonly string[] }
  | { kind: 'exec'; words: readonly string[] }

/**
 * Encodes settings as payloads of CONFIG frames: zero-terminated pairs of key and value; "start" comes last.
 * A pair is never split between frames. Zero bytes in values are dropped: neither an environment nor a path can hold them.
 */
export function encodeSettings(settings: GuestSettings): Buffer[] {
  const { entry } = settings
  const words = entry.kind === 'exec' ? entry.words : [entry.word, ...(entry.args ?? [])]
  const pairs: [string, string][] = [
    ['hostname', settings.hostname],
    ...settings.volumes.map((volume): [string, string] => ['volume', `${volume.slot} ${volume.mount}`]),
    ['workdir', settings.workdir],
    ['kind', entry.kind],
    ...words.map((word): [string, string] => ['word', word]),
    ...Object.entries(settings.env).map(([name, value]): [string, string] => ['env', `${name}=${value}`]),
    ['start', ''],
  ]
  const payloads: Buffer[] = []
  let open: Buffer[] = []
  let bytes = 0
  for (const [key, value] of pairs) {
    const pair = Buffer.from(`${key}\0${value.replaceAll('\0', '')}\0`)
    if (bytes + pair.length > framePayloadBytesMax && bytes > 0) {
      payloads.push(Buffer.concat(open))
      open = []
      bytes = 0
    }
    open.push(pair)
    bytes += pair.length
  }
  return [...payloads, Buffer.concat(open)]
}

/** Reads the payload of HELLO: zero-terminated pairs. Anything odd yields fewer pairs, never an error. */
export function parsePairs(payload: Buffer): Map<string, string> {
  const texts = payload.toString('latin1').split('\0')
  const pairs = new Map<string, string>()
  for (let index = 0; index + 1 < texts.length; index += 2)
    pairs.set(texts[index] as string, texts[index + 1] as string)
  return pairs
}
