import type { Socket } from 'node:net'
import { AppError } from '../../../core/errors.ts'

const alertRecord = 0x15
const fatal = 2

/** TLS alert descriptions that we send before TLS has begun (RFC 8446 §6.2). */
export const alerts = { decodeError: 50, internalError: 80, missingExtension: 109, unrecognizedName: 112 } as const

/**
 * Refuses a handshake with an alert that says why, then closes. Before the ServerHello an alert is seven plain bytes, so it needs no TLS.
 */
export function refuseHandshake(raw: Socket, description: number): void {
  // Version 3.3 stands in every record of TLS 1.2 and 1.3.
  raw.write(Uint8Array.of(alertRecord, 3, 3, 0, 2, fatal, description))
  raw.destroySoon()
}

/** Which alert tells a client what went wrong: the name is not served here, or it is and we cannot show a certificate now. */
export function alertFor(error: unknown): number {
  return error instanceof AppError && error.status < 500 ? alerts.unrecognizedName : alerts.internalError
}
