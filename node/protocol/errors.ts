import { AppError } from '../../core/errors.ts'

/** The network's numbers for why a message is refused (protocol reference 1.6). */
export const messageErrorCodes = {
  internal: -1,
  invalidFormat: 0,
  invalidSignature: 1,
  permissionDenied: 2,
  contentUnavailable: 3,
  fileUnavailable: 4,
  amendNoTarget: 100,
  amendTargetNotFound: 101,
  amendOfAmend: 102,
  storeRefNotFound: 200,
  storeUpdateOfUpdate: 201,
  paymentRefused: 202,
  vmRefNotFound: 300,
  vmVolumeNotFound: 301,
  vmAmendNotAllowed: 302,
  vmUpdateOfUpdate: 303,
  vmVolumeTooSmall: 304,
  forgetNoTarget: 500,
  forgetTargetNotFound: 501,
  forgetOfForget: 502,
  forgetNotAllowed: 503,
  alreadyForgotten: 504,
} as const

/** A message cannot be accepted; `errorCode` is the network's number for the reason. */
export abstract class MessageError extends AppError {
  abstract readonly errorCode: number
  readonly fault = 'caller'
  override readonly status: number = 422
  /** Whether the same message may be accepted later, once what it needs has arrived. */
  readonly retriable: boolean = false
  /** The network's `details` list. */
  get errors(): readonly unknown[] {
    return Array.isArray(this.details) ? this.details : [this.message]
  }
}

/** The message does not have the form that the network prescribes. */
export class InvalidFormatError extends MessageError {
  readonly code = 'PROTOCOL_INVALID_FORMAT'
  readonly errorCode = messageErrorCodes.invalidFormat
}

/** The chain of a message is unknown, or known without a verifier in this node. */
export class UnknownChainError extends MessageError {
  readonly code = 'PROTOCOL_UNKNOWN_CHAIN'
  readonly errorCode = messageErrorCodes.invalidFormat
}

/** The signature of a message was not made by its sender over this chain, sender, type and hash. */
export class InvalidSignatureError extends MessageError {
  readonly code = 'PROTOCOL_INVALID_SIGNATURE'
  readonly errorCode = messageErrorCodes.invalidSignature
}

/** Bytes do not have the hash under which they were asked for or offered. */
export class HashMismatchError extends AppError {
  readonly code = 'PROTOCOL_HASH_MISMATCH'
  readonly fault = 'upstream'
  override readonly status = 502
}

/** A text is no content identifier, or one whose hash function is not supported. */
export class InvalidCidError extends AppError {
  readonly code = 'PROTOCOL_INVALID_CID'
  readonly fault = 'caller'
  override readonly status = 422
}

/** A block is not well-formed DAG-PB. */
export class MalformedBlockError extends AppError {
  readonly code = 'PROTOCOL_MALFORMED_BLOCK'
  readonly fault = 'caller'
  override readonly status = 422
}

/** Bytes are no CARv1, or end too early. */
export class MalformedCarError extends AppError {
  readonly code = 'PROTOCOL_MALFORMED_CAR'
  readonly fault = 'caller'
  override readonly status = 422
}
