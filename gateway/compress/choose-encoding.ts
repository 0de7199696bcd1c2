/** Codings that this gateway can make. */
export type Encoding = 'zstd' | 'br' | 'gzip'

/** From the one we like best: zstd costs the least time for its size, br makes the smallest text, gzip is known to all. */
export const encodings: readonly Encoding[] = ['zstd', 'br', 'gzip']

/** Different values of Accept-Encoding that are remembered. Browsers send a handful; whoever sends many only costs a parse. */
const rememberedMax = 64
/** Longer values are parsed each time, characters. */
const rememberedLengthMax = 128
const remembered = new Map<string, Encoding | undefined>()

/**
 * Chooses the coding for an answer: the one the client weighs highest, and among equals the one that stands first in `encodings`.
 *
 * @param accepted - the value of Accept-Encoding; several fields joined by commas
 * @returns undefined to send the answer as it is: no coding of ours is accepted, or the client weighs the plain form higher than all of them. Where even that
 *   is refused (`identity;q=0`) the plain form is sent all the same, as RFC 9110 allows: it helps more than a 406
 * @see RFC 9110 §12.5.3
 */
export function chooseEncoding(accepted: string): Encoding | undefined {
  if (remembered.has(accepted)) return remembered.get(accepted)
  const chosen = choose(accepted)
  if (accepted.length <= rememberedLengthMax) {
    if (remembered.size >= rememberedMax) remembered.clear()
    remembered.set(accepted, chosen)
  }
  return chosen
}

function choose(accepted: string): Encoding | undefined {
  const weights = new Map<string, number>()
  for (const member of accepted.split(',')) {
    const [name = '', ...parameters] = member.split(';')
    const coding = nameOf(name)
    // The first mention counts; a repeated one is a mistake of the client.
    if (coding !== '' && !weights.has(coding)) weights.set(coding, weightOf(parameters))
  }
  const rest = weights.get('*') ?? 0
  // Identity is acceptable unless excluded, but only a weight of its own makes it rival a coding that is asked for.
  let best = weights.get('identity') ?? 0
  let chosen: Encoding | undefined
  for (const encoding of encodings) {
    const weight = weights.get(encoding) ?? rest
    if (weight > best || (weight === best && weight > 0 && chosen === undefined)) {
      best = weight
      chosen = encoding
    }
  }
  return chosen
}

function nameOf(text: string): string {
  const name = text.trim().toLowerCase()
  return name === 'x-gzip' ? 'gzip' : name
}

/** 0 to 1000. A weight that is not valid counts as 0: what is not understood is not promised. */
function weightOf(parameters: readonly string[]): number {
  if (parameters.length === 0) return 1_000
  const match = /^\s*q\s*=\s*(?:(0)(?:\.(\d{0,3}))?|1(?:\.0{0,3})?)\s*$/i.exec(parameters[0] as string)
  if (!match || parameters.length > 1) return 0
  return match[1] === undefined ? 1_000 : Number((match[2] ?? '').padEnd(3, '0'))
}
