import { createHash } from 'node:crypto'
import { seededRandom } from '../../core/random.ts'
import { postBytes } from './workloads.ts'

/** The answer of 1 KiB: hexadecimal digits, so that it can stand in a configuration file between quotes. */
export const smallBody = Buffer.from(Buffer.from(seededRandom(1).bytes(512)).toString('hex'))

/** The answer of 1 MiB: no two blocks of it are equal, so that swapped or repeated parts show. */
export const bigBody = Buffer.from(seededRandom(2).bytes(1_048_576))

/** The body of a POST. */
export const postBody = Buffer.alloc(postBytes, 'lastmile ')

/** Host name of the site that is served, on the certificate too. */
export const siteName = 'app.test'

/** Hash of the program that the site leads to. */
export const programHash = 'ab'.repeat(32)

/** What a browser sends beside Host: heads of about 360 bytes, the same for every generator. */
export const requestFields: readonly (readonly [name: string, value: string])[] = [
  ['User-Agent', 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'],
  ['Accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'],
  ['Accept-Language', 'en-US,en;q=0.5'],
  ['Accept-Encoding', 'gzip, deflate, br'],
  ['Cookie', 'session=8f14e45fceea167a5a36dedd4bea2543'],
  ['Cache-Control', 'no-cache'],
]

export const sha256 = (body: Uint8Array): string => createHash('sha256').update(body).digest('hex')
