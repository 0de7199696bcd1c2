import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type RunningProcess, startProcess } from '../core/child-process.ts'
import { freePort } from '../core/free-port.ts'
import { createTransport } from './client/transport.ts'
import { createSelfSigned } from './x509.ts'

export interface PebbleOptions {
  /** Port where the CA looks for HTTP-01 answers: our plain HTTP listener. */
  httpPort: number
  /** Port where it looks for TLS-ALPN-01 answers: our TLS listener. */
  tlsPort: number
  /** `host:port` of the resolver it asks. */
  dnsServer: string
  /** Folder for its configuration and its own TLS certificate; made if absent. */
  stateDir: string
  /** Share of requests whose nonce is refused, per cent. Default 20, more than any real CA. */
  nonceRejectPercent?: number
  /** Fixed ports of the ACME and the management interface; free ones when absent. */
  ports?: { acme: number; management: number }
}

export interface Pebble extends AsyncDisposable {
  readonly directoryUrl: string
  /** PEM file with the root of the CA's own HTTPS (not of what it issues). */
  readonly caFile: string
  readonly process: RunningProcess
  /** Root of the certificates it issues, PEM. A new one at each start. */
  root(): Promise<string>
  /** Requests served so far whose log line holds `path`, for example `/order-plz`. */
  requests(path: string): number
}

const attemptsMax = 3

/**
 * Starts Debian's `pebble`, a small ACME CA for development, on loopback and waits until it serves. It keeps nothing on disk:
 * accounts, certificates and its root are new at each start.
 * @throws ProcessStartError with pebble's last words
 */
export async function startPebble(options: PebbleOptions): Promise<Pebble> {
  const { stateDir } = options
  await mkdir(stateDir, { recursive: true })
  const files = {
    caFile: join(stateDir, 'pebble-tls.pem'),
    keyFile: join(stateDir, 'pebble-tls-key.pem'),
    config: join(stateDir, 'pebble.json'),
  }
  const tls = await createSelfSigned(['localhost', '127.0.0.1'])
  await writeFile(files.caFile, tls.certificatePem)
  await writeFile(files.keyFile, tls.keyPem, { mode: 0o600 })
  for (let attempt = 1; ; attempt++) {
    try {
      return await launch(options, files)
    } catch (error) {
      // A port that was free when asked for may be taken a moment later.
      if (attempt === attemptsMax || options.ports !== undefined) throw error
    }
  }
}

async function launch(
  options: PebbleOptions,
  files: { caFile: string; keyFile: string; config: string },
): Promise<Pebble> {
  const ports = options.ports ?? { acme: await freePort(), management: await freePort() }
  const directoryUrl = `https://127.0.0.1:${ports.acme}/dir`
  await writeFile(files.config, JSON.stringify(configOf(options, files, ports)))
  const transport = await createTransport({ caFile: files.caFile, requestTimeoutMs: 5_000, replyBytesMax: 1_048_576 })
  const get = (url: string) => transport.send('GET', url, undefined, AbortSignal.timeout(5_000))
  const counts = new Map<string, number>()
  try {
    const child = await startProcess({
      name: 'pebble',
      command: 'pebble',
      args: ['-config', files.config, '-dnsserver', options.dnsServer, '-strict'],
      options: { env: environmentOf(options) },
      onOutput: countRequests(counts),
      ready: () =>
        get(directoryUrl).then(
          (reply) => reply.status === 200,
          () => false,
        ),
    })
    return {
      directoryUrl,
      caFile: files.caFile,
      process: child,
      root: async () => (await get(`https://127.0.0.1:${ports.management}/roots/0`)).body.toString(),
      requests: (path) => counts.get(path) ?? 0,
      async [Symbol.asyncDispose]() {
        transport[Symbol.dispose]()
        await child[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    transport[Symbol.dispose]()
    throw error
  }
}

function configOf(
  options: PebbleOptions,
  files: { caFile: string; keyFile: string },
  ports: { acme: number; management: number },
): unknown {
  return {
    pebble: {
      listenAddress: `127.0.0.1:${ports.acme}`,
      managementListenAddress: `127.0.0.1:${ports.management}`,
      certificate: files.caFile,
      privateKey: files.keyFile,
      httpPort: options.httpPort,
      tlsPort: options.tlsPort,
      ocspResponderURL: '',
      externalAccountBindingRequired: false,
    },
  }
}

function environmentOf(options: PebbleOptions): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH,
    // No random wait before each validation; no authorization carried over from an earlier order.
    PEBBLE_VA_NOSLEEP: '1',
    PEBBLE_AUTHZREUSE: '0',
    PEBBLE_WFE_NONCEREJECT: String(options.nonceRejectPercent ?? 20),
  }
}

/** Pebble logs `METHOD /path/...` for each request; they are counted by the first segment of the path. */
function countRequests(counts: Map<string, number>): (text: string) => void {
  let rest = ''
  return (text) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const path = /(?:GET|HEAD|POST) (\/[\w-]+)/.exec(line)?.[1]
      if (path !== undefined) counts.set(path, (counts.get(path) ?? 0) + 1)
    }
  }
}
