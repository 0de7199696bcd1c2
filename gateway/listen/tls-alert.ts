import type { Socket } from 'node:net'
import { AppError } from '../../core/errors.ts'

const alertRecord = 0x15
const fatal = 2

/** TLS alert descriptions (RFC 8446 §6.2). */
const alerts = { internalError: 80, unrecognizedName: 112 } as const

/**
 * Ends a handshake with an alert that says why. Node would only drop the connection; but before the ServerHello an alert is seven plain
 * bytes, so they are written beneath TLS.
 */
export function sendAlert(socket: Socket, description: number): void {
  // Version 3.3 stands in every record of TLS 1.2 and 1.3.
  socket.write(Uint8Array.of(alertRecord, 3, 3, 0, 2, fatal, description))
}

/** Which alert tells a client what went wrong: the name is not served here, or it is and we cannot show a certificate now. */
export function alertFor(error: unknown): number {
  return error instanceof AppError && error.status < 500 ? alerts.unrecognizedName : alerts.internalError
}
