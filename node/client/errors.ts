import { AppError, type AppErrorOptions } from '../../core/errors.ts'

/** No core channel node answered. Safe to try again. */
export class NetworkUnreachableError extends AppError {
  readonly code = 'CLIENT_NETWORK_UNREACHABLE'
  readonly fault = 'upstream'
  override readonly status = 502
  constructor(message: string, options: AppErrorOptions = {}) {
    super(message, {
      hint: 'Look whether the nodes in network.ccnUrls are up and reachable from here; then try again.',
      ...options,
    })
  }
}

/** Every core channel node that answered gave something that does not verify. */
export class AnswerForgedError extends AppError {
  readonly code = 'CLIENT_ANSWER_FORGED'
  readonly fault = 'upstream'
  override readonly status = 502
  constructor(message: string, options: AppErrorOptions = {}) {
    super(message, {
      hint: 'Add another core channel node to network.ccnUrls; what failed to verify was not used.',
      ...options,
    })
  }
}

/** No core channel node knows what was asked for. */
export class UnknownItemError extends AppError {
  readonly code = 'CLIENT_UNKNOWN_ITEM'
  readonly fault = 'caller'
  override readonly status = 404
}

/** The message was erased by its owner. */
export class ForgottenItemError extends AppError {
  readonly code = 'CLIENT_FORGOTTEN_ITEM'
  readonly fault = 'caller'
  override readonly status = 410
}

/** The message is of another type than its use needs. */
export class WrongTypeError extends AppError {
  readonly code = 'CLIENT_WRONG_TYPE'
  readonly fault = 'caller'
  override readonly status = 422
}

/** A core channel node refused what was published; `details` holds its error code and list. */
export class PublishRefusedError extends AppError {
  readonly code = 'CLIENT_PUBLISH_REFUSED'
  readonly fault = 'caller'
  override readonly status = 422
}
