import { calculateJwkThumbprint, exportJWK, FlattenedSign, generateKeyPair, importJWK, type JWK } from 'jose'

/** The private key of an ACME account as JWK (P-256). Secret: whoever has it can issue for, and revoke, our names. */
export type AccountJwk = JWK

/** An account key ready to sign. */
export interface AccountKey {
  publicJwk: JWK
  /** RFC 7638 thumbprint, base64url: the second half of every key authorization. */
  thumbprint: string
  /** Signs a request body (RFC 8555 §6.2). `payload` undefined makes a POST-as-GET. `kid` absent embeds the key itself. */
  sign(payload: unknown, header: { url: string; nonce: string; kid?: string | undefined }): Promise<string>
}

/** Makes the key of a new account: ES256. */
export async function createAccountJwk(): Promise<AccountJwk> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true })
  return exportJWK(privateKey)
}

/** @throws TypeError when the JWK is not a P-256 private key */
export async function openAccountKey(jwk: AccountJwk): Promise<AccountKey> {
  const key = await importJWK(jwk, 'ES256')
  const publicJwk: JWK = { kty: jwk.kty as string, crv: jwk.crv as string, x: jwk.x as string, y: jwk.y as string }
  return {
    publicJwk,
    thumbprint: await calculateJwkThumbprint(publicJwk),
    async sign(payload, { url, nonce, kid }) {
      const identity = kid === undefined ? { jwk: publicJwk } : { kid }
      return seal(payload, { alg: 'ES256', nonce, url, ...identity }, key)
    },
  }
}

/** Ties a new account to one the CA knows already (RFC 8555 §7.3.4): our public key signed by the MAC key it gave out. */
export async function signAccountBinding(
  publicJwk: JWK,
  external: { keyId: string; macKeyBase64Url: string },
  url: string,
): Promise<unknown> {
  const mac = Buffer.from(external.macKeyBase64Url, 'base64url')
  return JSON.parse(await seal(publicJwk, { alg: 'HS256', kid: external.keyId, url }, mac))
}

type SigningKey = Parameters<FlattenedSign['sign']>[0]

async function seal(
  payload: unknown,
  header: Record<string, unknown> & { alg: string },
  key: SigningKey,
): Promise<string> {
  const bytes = payload === undefined ? new Uint8Array() : Buffer.from(JSON.stringify(payload))
  return JSON.stringify(await new FlattenedSign(bytes).setProtectedHeader(header).sign(key))
}
