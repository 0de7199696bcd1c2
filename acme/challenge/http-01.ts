import type { ChallengeResponder } from '../ports.ts'

/**
 * HTTP-01 (RFC 8555 §8.3): keeps answers in memory for the listener on port 80 to show at `/.well-known/acme-challenge/<token>`.
 * Host and token must both match, so one tenant's token answers on no other name.
 */
export function createHttp01(): ChallengeResponder & Required<Pick<ChallengeResponder, 'httpChallenge'>> {
  const answers = new Map<string, string>()
  const keyOf = (name: string, token: string): string => `${name}/${token}`
  return {
    type: 'http-01',
    async present(name, token, keyAuthorization) {
      answers.set(keyOf(name, token), keyAuthorization)
    },
    async clean(name, token) {
      answers.delete(keyOf(name, token))
    },
    httpChallenge: (host, token) => answers.get(keyOf(host.toLowerCase(), token)),
  }
}
