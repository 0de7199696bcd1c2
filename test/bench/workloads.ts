/** What the data plane is measured with. */
export type WorkloadName =
  | 'h1'
  | 'h2'
  | 'body1m'
  | 'post16k'
  | 'newconn'
  | 'tls'
  | 'handshake-full'
  | 'handshake-resumed'
  | 'websocket'
  | 'idle'

export interface Workload {
  name: WorkloadName
  title: string
  /** What the cost is counted per. */
  per: 'request' | 'handshake' | 'message' | 'connection'
  /** How the client talks to the proxy. */
  scheme: 'plain' | 'tls' | 'h2'
  path: string
  /** Client connections at the same time; at most `idleConnectionsMax` for idle, less when file descriptors are short. */
  connections: number
}

/** Streams at the same time on each HTTP/2 connection. */
export const streamsPerConnection = 16
export const postBytes = 16_384
/** Length of the text in each WebSocket message. */
export const messageBytes = 134
/** Many enough that a proxy's fixed growth does not show per connection, few enough for a limit of 20,000 descriptors. */
export const idleConnectionsMax = 9_000

export const workloads: readonly Workload[] = [
  { name: 'h1', title: 'HTTP/1.1 keep-alive, 1 KiB', per: 'request', scheme: 'plain', path: '/1k', connections: 64 },
  { name: 'h2', title: 'HTTP/2 over TLS, 1 KiB', per: 'request', scheme: 'h2', path: '/1k', connections: 16 },
  { name: 'body1m', title: '1 MiB body', per: 'request', scheme: 'plain', path: '/big.bin', connections: 16 },
  { name: 'post16k', title: 'POST 16 KiB', per: 'request', scheme: 'plain', path: '/post', connections: 64 },
  { name: 'newconn', title: 'new connection', per: 'request', scheme: 'plain', path: '/1k', connections: 64 },
  { name: 'tls', title: 'TLS keep-alive, 1 KiB', per: 'request', scheme: 'tls', path: '/1k', connections: 64 },
  { name: 'handshake-full', title: 'full TLS handshake', per: 'handshake', scheme: 'tls', path: '/1k', connections: 8 },
  {
    name: 'handshake-resumed',
    title: 'resumed TLS handshake',
    per: 'handshake',
    scheme: 'tls',
    path: '/1k',
    connections: 8,
  },
  { name: 'websocket', title: 'WebSocket, 134 bytes', per: 'message', scheme: 'plain', path: '/ws', connections: 64 },
  {
    name: 'idle',
    title: 'idle connection',
    per: 'connection',
    scheme: 'plain',
    path: '/1k',
    connections: idleConnectionsMax,
  },
]
