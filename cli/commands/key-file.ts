import { readFileSync } from 'node:fs'
import { AppError } from '../../core/errors.ts'
import { ethereumSigner, type Signer } from '../../node/protocol/signer.ts'

/** The file with the signing key is missing or holds no key. */
export class KeyFileError extends AppError {
  readonly code = 'CLI_KEY_FILE'
  readonly fault = 'caller'
}

/**
 * Reads an Ethereum key from a file: 64 hex digits, with or without `0x`. Never from an argument, which other users of the
 * machine could read.
 * @throws KeyFileError
 */
export function readKeyFile(path: string): Signer {
  let text: string
  try {
    text = readFileSync(path, 'utf8').trim()
  } catch (cause) {
    throw new KeyFileError(`The key file ${path} cannot be read.`, { cause, hint: 'Name a file with --key.' })
  }
  const hex = /^(?:0x)?([0-9a-fA-F]{64})$/.exec(text)?.[1]
  if (hex === undefined) {
    throw new KeyFileError(`The key file ${path} holds no Ethereum key.`, {
      hint: 'It must hold 64 hex digits and nothing else.',
    })
  }
  return ethereumSigner(Buffer.from(hex, 'hex'))
}
