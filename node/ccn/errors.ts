import { AppError } from '../../core/errors.ts'
import { MessageError, messageErrorCodes } from '../protocol/errors.ts'

/** A message needs something that has not arrived; it is tried again when that arrives, or later. */
abstract class WaitingError extends MessageError {
  override readonly retriable = true
  /** Item hashes, file hashes or tags, any of which may let the message pass. */
  readonly waitsFor: readonly string[]

  constructor(
    message: string,
    waitsFor: readonly string[],
    options: { hint?: string; details?: unknown; cause?: unknown } = {},
  ) {
    super(message, { details: [...waitsFor], ...options })
    this.waitsFor = waitsFor
  }
}

export { WaitingError }

/** The sender may not act for the owner of the content. */
export class PermissionDeniedError extends MessageError {
  readonly code = 'CCN_PERMISSION_DENIED'
  readonly errorCode = messageErrorCodes.permissionDenied
  override readonly status = 422
}

/** The content of a message is neither here nor at a peer yet. */
export class ContentUnavailableError extends WaitingError {
  readonly code = 'CCN_CONTENT_UNAVAILABLE'
  readonly errorCode = messageErrorCodes.contentUnavailable
}

/** The file that a STORE names is neither here nor at a peer yet. */
export class FileUnavailableError extends WaitingError {
  readonly code = 'CCN_FILE_UNAVAILABLE'
  readonly errorCode = messageErrorCodes.fileUnavailable
}

/** Another message that this one refers to has not arrived yet. */
export class DependencyMissingError extends WaitingError {
  readonly code = 'CCN_DEPENDENCY_MISSING'
  readonly errorCode: number

  constructor(errorCode: number, message: string, waitsFor: readonly string[], details?: unknown) {
    super(message, waitsFor, {
      ...(details === undefined ? {} : { details }),
      hint: 'Publish what is missing; this message then passes by itself.',
    })
    this.errorCode = errorCode
  }
}

/** A message refers to others in a way that its type does not allow. */
export class RuleBrokenError extends MessageError {
  readonly code = 'CCN_RULE_BROKEN'
  readonly errorCode: number

  constructor(errorCode: number, message: string, options: { hint?: string; details?: unknown } = {}) {
    super(message, options)
    this.errorCode = errorCode
  }
}

/** The message was erased by a FORGET and cannot come back. */
export class AlreadyForgottenError extends MessageError {
  readonly code = 'CCN_ALREADY_FORGOTTEN'
  readonly errorCode = messageErrorCodes.alreadyForgotten
  override readonly status = 410
}

/** A request, an upload or a stored thing is larger than its limit. */
export class TooLargeError extends AppError {
  readonly code = 'CCN_TOO_LARGE'
  readonly fault = 'caller'
  override readonly status = 413

  constructor(what: string, bytesMax: number, hint?: string) {
    super(`The ${what} has more than ${bytesMax} bytes.`, hint === undefined ? {} : { hint })
  }
}

/** The request does not have the form that this path expects. */
export class BadRequestError extends AppError {
  readonly code = 'CCN_BAD_REQUEST'
  readonly fault = 'caller'
  override readonly status = 422
}

/** Nothing is stored under what was asked for. */
export class NotFoundError extends AppError {
  readonly code = 'CCN_NOT_FOUND'
  readonly fault = 'caller'
  override readonly status = 404
}

/** The pubsub topic of a publication is not one that this node carries. */
export class TopicRefusedError extends AppError {
  readonly code = 'CCN_TOPIC_REFUSED'
  readonly fault = 'caller'
  override readonly status = 403
}

/** The node has as much work waiting as it takes. */
export class OverloadedError extends AppError {
  readonly code = 'CCN_OVERLOADED'
  readonly fault = 'ours'
  override readonly status = 503
}

/** The store on disk was made by a newer version of this program. */
export class StoreVersionError extends AppError {
  readonly code = 'CCN_STORE_VERSION'
  readonly fault = 'ours'
}
