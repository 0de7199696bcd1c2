import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findProgram, firstLine } from '../programs.ts'
import type { Candidate, Place } from './candidate.ts'

/** HAProxy with one thread. */
export const haproxy: Candidate = {
  name: 'haproxy',
  lacks: [],
  version() {
    const path = findProgram('haproxy')
    return path && (/version (\S+)/.exec(firstLine(path, ['-v']))?.[1] ?? 'unknown')
  },
  command(place) {
    const file = join(place.folder, 'haproxy.cfg')
    writeFileSync(file, proxyConfig(place))
    return { command: findProgram('haproxy') as string, args: ['-db', '-f', file] }
  },
}

function proxyConfig({ site, httpPort, httpsPort }: Place): string {
  const timeouts = ['connect', 'client', 'server', 'tunnel', 'http-keep-alive', 'http-request']
  return `global
  nbthread 1
  maxconn 9400
  ssl-default-bind-curves X25519

defaults
  mode http
  option forwardfor
  http-reuse always
${timeouts.map((name) => `  timeout ${name} 600s`).join('\n')}

frontend front
  bind 127.0.0.1:${httpPort}
  bind 127.0.0.1:${httpsPort} ssl crt ${site.combinedFile} alpn h2,http/1.1 ssl-min-ver TLSv1.2
  http-request set-header X-Forwarded-Proto https if { ssl_fc }
  http-request set-header X-Forwarded-Proto http if !{ ssl_fc }
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  default_backend origin

backend origin
  server origin 127.0.0.1:${site.originPort} pool-max-conn 128
`
}
