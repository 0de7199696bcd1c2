import { AppError } from '../../core/errors.ts'

/** A guest broke the rules of the guest-agent link; its microVM is stopped. */
export class LinkProtocolError extends AppError {
  readonly code = 'CRN_LINK_PROTOCOL'
  readonly fault = 'upstream'
  override readonly status = 502
  constructor(what: string) {
    super(`The guest sent ${what} on its link.`, {
      hint: 'The microVM is stopped; the next request starts a fresh one.',
    })
  }
}

/** The microVM ended, or its link broke, before it could answer. */
export class GuestEndedError extends AppError {
  readonly code = 'CRN_GUEST_ENDED'
  readonly fault = 'upstream'
  override readonly status = 502
  constructor(why: string, options: { cause?: unknown } = {}) {
    super(`The microVM cannot answer: ${why}.`, {
      ...options,
      hint: 'The next request starts a fresh one. The logs of the program tell its owner more.',
    })
  }
}

/** The program could not be started: its entrypoint failed, or did not listen in time. What it printed is in its logs only. */
export class ProgramStartError extends AppError {
  readonly code = 'CRN_PROGRAM_START'
  readonly fault = 'upstream'
  override readonly status = 502
  constructor(itemHash: string, why: string, options: { cause?: unknown } = {}) {
    super(`The program ${itemHash} did not start: ${why}.`, {
      ...options,
      hint: 'Its owner finds what it printed in the logs of the program. A server must listen on port 8080, or on $PORT.',
    })
  }
}

/** The program took longer than allowed to begin its answer. */
export class ProgramTimeoutError extends AppError {
  readonly code = 'CRN_PROGRAM_TIMEOUT'
  readonly fault = 'upstream'
  override readonly status = 504
  constructor(timeoutMs: number) {
    super(`The program did not begin to answer within ${timeoutMs} ms.`, {
      hint: 'Its owner may raise "resources.seconds" of the program.',
    })
  }
}

/** The program's answer is not HTTP. */
export class ProgramAnswerError extends AppError {
  readonly code = 'CRN_PROGRAM_ANSWER'
  readonly fault = 'upstream'
  override readonly status = 502
  constructor(options: { cause?: unknown } = {}) {
    super('The program closed the connection, or answered with something that is not HTTP.', {
      ...options,
      hint: 'Its owner finds what it printed in the logs of the program.',
    })
  }
}

/** This host runs as much as it may. Another host can take the request now. */
export class HostFullError extends AppError {
  readonly code = 'CRN_FULL'
  readonly fault = 'ours'
  override readonly status = 503
  constructor(what: string, limit: number) {
    super(`This host has no room: its limit of ${limit} ${what} is reached.`, {
      hint: 'Ask another host, or try again after the time in Retry-After.',
    })
  }
}

/** The host in the request names no program, and the path no API of this host. */
export class NotHereError extends AppError {
  readonly code = 'CRN_NOT_FOUND'
  readonly fault = 'caller'
  override readonly status = 404
  constructor(what: string) {
    super(what, {
      hint: 'Programs are reached as /vm/<item hash>/… or by the host name <base32 of the hash>.<domain of this host>.',
    })
  }
}

/** The request needs the operator's token. */
export class NotOperatorError extends AppError {
  readonly code = 'CRN_NOT_OPERATOR'
  readonly fault = 'caller'
  override readonly status = 401
  constructor() {
    super('This needs the token of the operator.', {
      hint: 'Send "Authorization: Bearer <operatorToken>" as set in the configuration.',
    })
  }
}

/** The message asks for something that this host does not offer. */
export class UnsupportedProgramError extends AppError {
  readonly code = 'CRN_UNSUPPORTED_PROGRAM'
  readonly fault = 'caller'
  override readonly status = 422
  constructor(what: string) {
    super(`This host cannot run the program: ${what}.`, {
      hint: 'Publish the program with what the README of the host lists.',
    })
  }
}

/** A file of the program does not have the hash that its message names. */
export class FileHashError extends AppError {
  readonly code = 'CRN_FILE_HASH'
  readonly fault = 'upstream'
  override readonly status = 502
  constructor(expected: string, actual: string) {
    super(`The file ${expected} arrived with other content: its hash is ${actual}.`, {
      hint: 'The store that delivered it is broken or lies; nothing of it was kept.',
    })
  }
}

/** A file of the program is larger than this host accepts. */
export class FileTooLargeError extends AppError {
  readonly code = 'CRN_FILE_TOO_LARGE'
  readonly fault = 'caller'
  override readonly status = 422
  constructor(what: string, bytesMax: number) {
    super(`${what} exceeds ${bytesMax} bytes.`, {
      hint: 'Make the program smaller; large data belongs into an immutable volume.',
    })
  }
}

/** The code of the program is not a valid archive of its encoding. */
export class BadArchiveError extends AppError {
  readonly code = 'CRN_BAD_ARCHIVE'
  readonly fault = 'caller'
  override readonly status = 422
  constructor(what: string, options: { cause?: unknown } = {}) {
    super(`The code cannot be unpacked: ${what}.`, {
      ...options,
      hint: 'Pack it again as a plain zip without encryption, links or paths that leave its folder, and publish it.',
    })
  }
}

/** No way to run guests works on this machine. `details` holds the reason and advice of each. */
export class NoHypervisorError extends AppError {
  readonly code = 'CRN_NO_HYPERVISOR'
  readonly fault = 'ours'
}

/** A guest could not be booted. */
export class VmBootError extends AppError {
  readonly code = 'CRN_VM_BOOT'
  readonly fault = 'ours'
  override readonly status = 503
}

/** A volume could not be attached to a running guest. */
export class AttachError extends AppError {
  readonly code = 'CRN_ATTACH'
  readonly fault = 'ours'
  override readonly status = 503
}
