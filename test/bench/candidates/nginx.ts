import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findProgram, firstLine } from '../programs.ts'
import { nginxFrame } from '../site.ts'
import type { Candidate, Place } from './candidate.ts'

/** nginx with one worker, default buffering, no temporary files. */
export const nginx: Candidate = {
  name: 'nginx',
  lacks: [],
  version() {
    const path = findProgram('nginx')
    return path && (/nginx\/(\S+)/.exec(firstLine(path, ['-v']))?.[1] ?? 'unknown')
  },
  command(place) {
    const file = join(place.folder, 'nginx.conf')
    writeFileSync(file, nginxFrame(place.folder, proxyConfig(place)))
    return { command: findProgram('nginx') as string, args: ['-c', file, '-p', place.folder] }
  },
}

function proxyConfig({ site, httpPort, httpsPort }: Place): string {
  return `  proxy_max_temp_file_size 0;
  upstream origin {
    server 127.0.0.1:${site.originPort};
    keepalive 128;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
  }
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  server {
    listen 127.0.0.1:${httpPort} backlog=4096;
    listen 127.0.0.1:${httpsPort} ssl http2 backlog=4096;
    http2_max_concurrent_streams 128;
    ssl_certificate ${site.certificateFile};
    ssl_certificate_key ${site.keyFile};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ecdh_curve X25519;
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_read_timeout 600s;
    }
  }`
}
