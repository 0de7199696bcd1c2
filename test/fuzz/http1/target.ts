import type { Random } from '../../../core/random.ts'
import { mutate } from '../mutate.ts'
import { Picker } from '../pick.ts'
import type { FuzzTarget } from '../target.ts'
import { checkAnswers } from './check-answers.ts'
import { checkRequests } from './check-requests.ts'
import { http1Words, makeAnswer, makeRequests } from './generate.ts'
import { checkTraffic, closeTraffic, trafficPrefix } from './poisoned-traffic.ts'

/** One input in so many is a whole round of traffic through a gateway with real sockets, which takes a thousand times longer than others. */
const trafficOneIn = 500

/**
 * HTTP/1 messages. An input that begins with "HTTP/" is what a host sends; one that begins with "traffic" describes traffic of many clients;
 * every other is what a client sends.
 */
export const target: FuzzTarget = {
  name: 'http1',
  secondsMax: 30,
  make(random: Random, seeds: readonly Buffer[]): Buffer {
    const pick = new Picker(random)
    if (pick.oneIn(trafficOneIn)) return Buffer.from(`${trafficPrefix}${pick.below(1_000_000)}`)
    const base =
      pick.oneIn(3) && seeds.length > 0 ? pick.of(seeds) : pick.oneIn(3) ? makeAnswer(pick) : makeRequests(pick)
    return pick.oneIn(3) ? base : mutate(pick, base, http1Words, seeds)
  },
  check(input) {
    const begin = input.toString('latin1', 0, trafficPrefix.length)
    if (begin === trafficPrefix) return checkTraffic(input)
    return begin.startsWith('HTTP/') ? checkAnswers(input) : checkRequests(input)
  },
  close: closeTraffic,
}
