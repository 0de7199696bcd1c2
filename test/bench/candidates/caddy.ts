import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findProgram, firstLine } from '../programs.ts'
import type { Candidate, Place } from './candidate.ts'

/** Caddy on one core. Adds the X-Forwarded fields by itself. */
export const caddy: Candidate = {
  name: 'caddy',
  lacks: [],
  version() {
    const path = findProgram('caddy')
    return path && (firstLine(path, ['version']).split(' ', 1)[0] || 'unknown')
  },
  command(place) {
    const file = join(place.folder, 'Caddyfile')
    writeFileSync(file, proxyConfig(place))
    return {
      command: findProgram('caddy') as string,
      args: ['run', '--adapter', 'caddyfile', '--config', file],
      env: { GOMAXPROCS: '1', HOME: place.folder, XDG_DATA_HOME: place.folder, XDG_CONFIG_HOME: place.folder },
    }
  },
}

// No host name in the addresses: Caddy matches Host against them.
function proxyConfig({ site, httpPort, httpsPort }: Place): string {
  const proxy = `  bind 127.0.0.1
  reverse_proxy 127.0.0.1:${site.originPort} {
    transport http {
      keepalive 600s
      keepalive_idle_conns_per_host 128
    }
  }`
  return `{
  admin off
  auto_https off
  log {
    level ERROR
  }
}

http://:${httpPort} {
${proxy}
}

https://:${httpsPort} {
  tls ${site.certificateFile} ${site.keyFile} {
    curves x25519
  }
${proxy}
}
`
}
