import type { ClientConnection } from '../forward/exchange.ts'
import { proxyWrittenBytesMax, writeProxyHeader } from '../listen/proxy-protocol.ts'

/** The PROXY header that tells a host who the client is, for sites that want it. */
export function proxyPreface(version: 'v1' | 'v2', client: ClientConnection): Buffer {
  const out = Buffer.alloc(proxyWrittenBytesMax)
  const { remoteAddress, remotePort, localAddress, localPort } = client
  const addresses = {
    source: { address: remoteAddress, port: remotePort },
    destination: { address: localAddress, port: localPort },
  }
  return out.subarray(0, writeProxyHeader(version === 'v1' ? 1 : 2, out, 0, addresses))
}
