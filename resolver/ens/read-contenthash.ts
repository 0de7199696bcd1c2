import { CID } from 'multiformats/cid'

/** An identity CID holds its data itself; 512 characters bound what anyone may put on the chain for us to carry. */
const cidCharsMax = 512

/** Reads a decoded contenthash strictly: ipfs and ipns become a CID, all else is named in `unsupported`. */
export function readContenthash(contenthash: { protocol: string; value: string } | undefined): {
  contentCid?: string
  unsupported?: string
} {
  if (!contenthash) return {}
  const { protocol, value } = contenthash
  if ((protocol !== 'ipfs' && protocol !== 'ipns') || value.length > cidCharsMax) return { unsupported: protocol }
  try {
    return { contentCid: CID.parse(value).toV1().toString() }
  } catch {
    // An ipns name may be a DNS name or a base36 key, which is no CID to fetch.
    return { unsupported: protocol }
  }
}
