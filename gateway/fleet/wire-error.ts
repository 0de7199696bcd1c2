import { AppError, type Fault } from '../../core/errors.ts'

/** An error as it travels between processes. */
export interface WireError {
  name: string
  message: string
  code?: string
  cause?: WireError
  /** What an `AppError` has more; its absence means that the error was unexpected. */
  app?: { fault: Fault; status: number; hint?: string; details?: unknown }
}

/** An `AppError` of another process: the same code, fault, status, message, hint and details. */
export class RemoteError extends AppError {
  readonly code: string
  readonly fault: Fault
  override readonly status: number
  readonly #name: string

  constructor(error: WireError, app: NonNullable<WireError['app']>) {
    super(error.message, {
      ...(app.hint === undefined ? {} : { hint: app.hint }),
      details: app.details,
      ...(error.cause === undefined ? {} : { cause: decodeError(error.cause) }),
    })
    this.code = error.code ?? 'INTERNAL'
    this.fault = app.fault
    this.status = app.status
    this.#name = error.name
  }

  override get name(): string {
    return this.#name
  }
}

/** Chains of causes are cut here: nobody reads further, and a cycle must end. */
const causesMax = 4

/** Any thrown value as plain data. */
export function encodeError(error: unknown, depth = 0): WireError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error) }
  const { code } = error as { code?: unknown }
  return {
    name: error.name,
    message: error.message,
    ...(typeof code === 'string' ? { code } : {}),
    ...(error.cause === undefined || depth >= causesMax ? {} : { cause: encodeError(error.cause, depth + 1) }),
    ...(error instanceof AppError ? { app: appPart(error) } : {}),
  }
}

function appPart({ fault, status, hint, details }: AppError): WireError['app'] {
  return { fault, status, ...(hint === undefined ? {} : { hint }), ...(details === undefined ? {} : { details }) }
}

/** The error on the other side: a `RemoteError`, or a plain `Error` with the same code for what was unexpected. */
export function decodeError(wire: WireError): Error {
  if (wire.app) return new RemoteError(wire, wire.app)
  const error = new Error(wire.message, wire.cause === undefined ? undefined : { cause: decodeError(wire.cause) })
  error.name = wire.name
  return wire.code === undefined ? error : Object.assign(error, { code: wire.code })
}
