import { target as chunked } from './chunked.ts'
import { target as http1 } from './http1/target.ts'
import { target as hpack } from './http2/hpack.ts'
import { target as http2 } from './http2/target.ts'
import { target as proxyProtocol } from './proxy-protocol.ts'
import type { FuzzTarget } from './target.ts'

/** Everything that can be fuzzed, by name. */
export const targets: readonly FuzzTarget[] = [http1, http2, hpack, chunked, proxyProtocol]
