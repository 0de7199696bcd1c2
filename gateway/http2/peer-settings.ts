import { ErrorCode } from './error-code.ts'
import { defaultWindow, framePayloadMax, readUint32, Setting, windowMax } from './frame.ts'

const entryBytes = 6
/** More than any number means "no limit". */
const unlimited = 0xffff_ffff

/** What the peer has told in SETTINGS (RFC 9113 §6.5.2). */
export class PeerSettings {
  headerTableBytes = 4_096
  initialWindow = defaultWindow
  streamsMax = unlimited
  headerListBytesMax = unlimited
  /** A SETTINGS frame of the peer has come: what stands here is no guess any more. */
  known = false
  /** RFC 8441 §3: only a server says so. */
  extendedConnect = false

  /** How many settings a frame of this length has; -1 when that is not a whole number. */
  static count(length: number): number {
    return length % entryBytes === 0 ? length / entryBytes : -1
  }

  /**
   * Takes the settings in `bytes[start, end)` in their order. Unknown ones are ignored.
   * @param fromServer - a server may not ask for pushes to itself
   * @returns 0 or an error code
   */
  read(bytes: Buffer, start: number, end: number, fromServer: boolean): number {
    this.known = true
    for (let at = start; at < end; at += entryBytes) {
      const name = ((bytes[at] as number) << 8) | (bytes[at + 1] as number)
      const error = this.#set(name, readUint32(bytes, at + 2), fromServer)
      if (error !== ErrorCode.none) return error
    }
    return ErrorCode.none
  }

  #set(name: number, value: number, fromServer: boolean): number {
    switch (name) {
      case Setting.headerTableSize:
        this.headerTableBytes = value
        break
      case Setting.enablePush:
        if (value > (fromServer ? 0 : 1)) return ErrorCode.protocol
        break
      case Setting.maxConcurrentStreams:
        this.streamsMax = value
        break
      case Setting.initialWindowSize:
        if (value > windowMax) return ErrorCode.flowControl
        this.initialWindow = value
        break
      case Setting.maxFrameSize:
        // Checked, not used: we never send more than the least that it may allow.
        if (value < framePayloadMax || value > 0xff_ffff) return ErrorCode.protocol
        break
      case Setting.maxHeaderListSize:
        this.headerListBytesMax = value
        break
      case Setting.enableConnectProtocol:
        // Once on, it stays on (RFC 8441 §3).
        if (value > 1 || (value === 0 && this.extendedConnect)) return ErrorCode.protocol
        this.extendedConnect = value === 1
        break
      case Setting.noRfc7540Priorities:
        if (value > 1) return ErrorCode.protocol
        break
    }
    return ErrorCode.none
  }
}
