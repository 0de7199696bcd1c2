import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  planTicketRotation,
  type TicketRing,
  ticketKeysOf,
  ticketLifeMs,
  ticketSecretLifeMs,
} from './ticket-rotation.ts'

const startMs = Date.UTC(2026, 0, 1)
const fresh = (number: number): Uint8Array => new Uint8Array(48).fill(number)

test('the first start makes one secret', () => {
  const { ring, nextMs } = planTicketRotation(undefined, startMs, fresh(1))
  assert.deepEqual(ticketKeysOf(ring), { current: fresh(1), previous: undefined })
  assert.equal(nextMs, ticketLifeMs)
})

test('a ticket stays good for its whole life, and its secret is gone a life later', () => {
  const first = planTicketRotation(undefined, startMs, fresh(1)).ring
  const lastMomentMs = startMs + ticketLifeMs - 1
  assert.equal(planTicketRotation(first, lastMomentMs, fresh(2)).ring, first)
  const second = planTicketRotation(first, startMs + ticketLifeMs, fresh(2)).ring
  assert.deepEqual(ticketKeysOf(second), { current: fresh(2), previous: fresh(1) })
  assert.equal(planTicketRotation(second, lastMomentMs + ticketLifeMs - 1, fresh(3)).ring, second)
  const third = planTicketRotation(second, startMs + ticketSecretLifeMs, fresh(3)).ring
  assert.deepEqual(ticketKeysOf(third), { current: fresh(3), previous: fresh(2) })
})

test('secrets that lay unused for too long are forgotten', () => {
  const ring = planTicketRotation(undefined, startMs, fresh(1)).ring
  const later = planTicketRotation(ring, startMs + ticketSecretLifeMs, fresh(2)).ring
  assert.deepEqual(ticketKeysOf(later), { current: fresh(2), previous: undefined })
})

test('a clock that is set back by a day does not prolong a secret', () => {
  const ring = planTicketRotation(undefined, startMs, fresh(1)).ring
  const back = planTicketRotation(ring, startMs - ticketSecretLifeMs, fresh(2)).ring
  assert.deepEqual(ticketKeysOf(back), { current: fresh(2), previous: undefined })
})

test('at any sequence of times: no secret older than its life, the newest seals, and asking again changes nothing', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 3 * ticketSecretLifeMs }), { maxLength: 30 }), (steps) => {
      let ring: TicketRing | undefined
      let nowMs = startMs
      for (const [index, stepMs] of steps.entries()) {
        nowMs += stepMs
        const plan = planTicketRotation(ring, nowMs, fresh(index + 1))
        const { current, previous } = plan.ring
        assert.ok(nowMs - current.madeAtMs < ticketLifeMs)
        if (previous) assert.ok(nowMs - previous.madeAtMs < ticketSecretLifeMs && previous.madeAtMs < current.madeAtMs)
        assert.equal(planTicketRotation(plan.ring, nowMs, fresh(99)).ring, plan.ring)
        assert.equal(planTicketRotation(plan.ring, nowMs + plan.nextMs - 1, fresh(99)).ring, plan.ring)
        assert.notEqual(planTicketRotation(plan.ring, nowMs + plan.nextMs, fresh(99)).ring, plan.ring)
        ring = plan.ring
      }
    }),
  )
})
