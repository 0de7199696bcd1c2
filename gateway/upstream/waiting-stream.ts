import { Deadline } from '../../core/timing-wheel.ts'
import type { FieldBlock } from '../http1/field-block.ts'
import type { AnswerSink, HostFailure, HostRequest, HostStream } from './host-stream.ts'

/** Where streams wait for a connection. */
export interface WaitingRoom {
  /** The stream waits no longer: nobody wants it any more, or it has waited too long. */
  leaves(stream: WaitingStream): void
}

/** An exchange whose connection does not stand yet. What kind of connection it will be is open; then this only passes on. */
export class WaitingStream extends Deadline implements HostStream {
  readonly sink: AnswerSink
  readonly #room: WaitingRoom
  #request: HostRequest | undefined = undefined
  #body: Buffer | undefined = undefined
  #last = false
  #target: HostStream | undefined = undefined

  constructor(sink: AnswerSink, room: WaitingRoom) {
    super()
    this.sink = sink
    this.#room = room
  }

  /** The connection stands. `target` has been taken for `sink`. */
  use(target: HostStream): void {
    this.#target = target
    const request = this.#request
    if (request === undefined) return
    const [body, last] = [this.#body, this.#last]
    this.#request = undefined
    this.#body = undefined
    if (target.send(request, body, last) && !last) this.sink.onHostDrain()
  }

  /** There will be no connection. */
  fail(failure: HostFailure): void {
    this.#body = undefined
    this.sink.onHostFailed(failure)
  }

  /** It has waited too long. */
  override expire(): void {
    this.#room.leaves(this)
    this.fail({ kind: 'timeout', what: 'accept the connection', refused: true, stale: false })
  }

  send(request: HostRequest, body: Buffer | undefined, last: boolean): boolean {
    if (this.#target) return this.#target.send(request, body, last)
    this.#request = request
    this.#body = body
    this.#last = last
    return false
  }

  write(part: Buffer): boolean {
    return this.#target?.write(part) ?? false
  }

  end(trailers?: FieldBlock): void {
    this.#target?.end(trailers)
  }

  resumeAnswer(): void {
    this.#target?.resumeAnswer()
  }

  cancel(): void {
    if (this.#target) return void this.#target.cancel()
    this.#body = undefined
    this.#room.leaves(this)
  }
}
