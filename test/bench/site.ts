import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { selfSigned } from '../../gateway/testing/self-signed.ts'
import { bigBody, siteName, smallBody } from './content.ts'
import { listensOn, processTree } from './measure/process-tree.ts'
import { findProgram, type Program, removeAtExit, startProgram } from './programs.ts'
import { uniquePort } from './unique-port.ts'

/** What all candidates of a run share. */
export interface Site extends AsyncDisposable {
  /** Temporary folder of the run; removed at its end. */
  folder: string
  certificateFile: string
  keyFile: string
  /** Both in one file, as HAProxy wants it. */
  combinedFile: string
  originPort: number
  /** `nginx` or `own`. */
  originKind: string
}

/** A file of the harness, to be run by this very Node. */
export const programFile = (name: string): string => new URL(name, import.meta.url).pathname

/** Makes the folder and the certificate, and starts the origin: nginx where it is installed, else our own. */
export async function openSite(options: { origin?: 'own' } = {}): Promise<Site> {
  await using stack = new AsyncDisposableStack()
  const folder = mkdtempSync(join(tmpdir(), 'lastmile-bench-'))
  removeAtExit(folder)
  chmodSync(folder, 0o755)
  const { certificatePem, keyPem } = selfSigned([siteName])
  const file = (name: string, text: string | Buffer): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const ownPort = await uniquePort()
  stack.use(await startOwnOrigin(ownPort))
  const nginx = options.origin === 'own' ? undefined : findProgram('nginx')
  const originPort = nginx ? await uniquePort() : ownPort
  if (nginx) {
    mkdirSync(join(folder, 'origin'))
    file('origin/big.bin', bigBody)
    const config = file('origin/nginx.conf', originConfig(join(folder, 'origin'), originPort, ownPort))
    stack.use(
      await startProgram({
        name: 'origin',
        command: nginx,
        args: ['-c', config, '-p', join(folder, 'origin')],
        side: 'load',
        ready: servesPort(originPort),
      }),
    )
  }
  const running = stack.move()
  return {
    folder,
    certificateFile: file('certificate.pem', certificatePem),
    keyFile: file('key.pem', keyPem),
    combinedFile: file('combined.pem', certificatePem + keyPem),
    originPort,
    originKind: nginx ? 'nginx' : 'own',
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

/** Ready when a process of the program itself holds the port: anything else that answers there would falsify the figures. */
export function servesPort(...ports: number[]): (program: Program) => boolean {
  return ({ pid }) => {
    const tree = processTree(pid)
    return ports.every((port) => listensOn(port, tree))
  }
}

function startOwnOrigin(port: number): Promise<Program> {
  return startProgram({
    name: 'own origin',
    command: process.execPath,
    args: [programFile('origin-program.ts'), String(port)],
    side: 'load',
    ready: servesPort(port),
  })
}

/**
 * What every nginx of the harness needs, whatever it does. One worker without the master process, which would only sleep: a worker must
 * not outlive a killed harness.
 */
export function nginxFrame(folder: string, http: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `daemon off;
worker_processes 1;
master_process off;
${process.getuid?.() === 0 ? 'user root;' : ''}
pid ${folder}/nginx.pid;
error_log ${folder}/error.log warn;
worker_rlimit_nofile 20000;
events { worker_connections 19000; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join('\n  ')}
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  client_max_body_size 0;
  # The default of 16 KiB would send bodies of exactly that size through a file.
  client_body_buffer_size 128k;
${http}
}
`
}

/** Answers like our own origin does; what nginx cannot do by itself (an echo) it fetches from there. */
function originConfig(folder: string, port: number, ownPort: number): string {
  return nginxFrame(
    folder,
    `  default_type application/octet-stream;
  # From memory, in large pieces: pages of a file would reach the proxies as small fragments, which costs nginx nearly twice as much.
  sendfile off;
  output_buffers 2 128k;
  open_file_cache max=16;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location ~ /1k$ { return 200 "${smallBody}"; }
    location ~ /post$ { return 200 "ok"; }
    location ~ /big\\.bin$ { alias ${folder}/big.bin; }
    location ~ /(echo|ws)$ {
      proxy_pass http://127.0.0.1:${ownPort};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $http_connection;
      proxy_read_timeout 600s;
    }
  }`,
  )
}
