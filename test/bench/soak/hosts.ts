import { type Program, startProgram } from '../programs.ts'
import { programFile, servesPort } from '../site.ts'
import { uniquePort } from '../unique-port.ts'

/** Host programs on fixed ports, of which one at a time is killed and started again. */
export class SoakHosts implements AsyncDisposable {
  readonly #programs: (Program | undefined)[] = []
  readonly #ports: number[] = []
  /** Moments of the kills, by `performance.now()`. */
  readonly killedAt: number[] = []
  #next = 0

  static async start(count: number): Promise<SoakHosts> {
    const hosts = new SoakHosts()
    try {
      for (let at = 0; at < count; at++) {
        hosts.#ports.push(await uniquePort())
        hosts.#programs.push(await startHost(hosts.#ports[at] as number))
      }
      return hosts
    } catch (error) {
      await hosts[Symbol.asyncDispose]()
      throw error
    }
  }

  get origins(): string[] {
    return this.#ports.map((port) => `http://127.0.0.1:${port}`)
  }

  /** Kills the next host outright, leaves it dead for a while, starts it again on its port. */
  async killNext(deadMs: number): Promise<void> {
    const at = this.#next++ % this.#programs.length
    const program = this.#programs[at]
    this.#programs[at] = undefined
    this.killedAt.push(performance.now())
    process.kill(-(program as Program).pid, 'SIGKILL')
    await program?.[Symbol.asyncDispose]()
    await new Promise((resolve) => setTimeout(resolve, deadMs))
    this.#programs[at] = await startHost(this.#ports[at] as number)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#programs.map((program) => program?.[Symbol.asyncDispose]()))
  }
}

const startHost = (port: number): Promise<Program> =>
  startProgram({
    name: `host ${port}`,
    command: process.execPath,
    args: [programFile('soak/host-program.ts'), String(port)],
    side: 'load',
    ready: servesPort(port),
  })
