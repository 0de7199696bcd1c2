import { CID } from 'multiformats/cid'

/** Multicodec `ipfs-ns` as a varint (EIP-1577). */
const ipfsNamespace = 'e301'

/** The contenthash of an IPFS CID as hex. @throws when the text is no CID */
export function encodeIpfsContenthash(cid: string): string {
  return `0x${ipfsNamespace}${Buffer.from(CID.parse(cid).toV1().bytes).toString('hex')}`
}
