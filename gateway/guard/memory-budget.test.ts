import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FakeClock } from '../../core/clock.ts'
import { MemoryBudget, type MemoryPressure, memorySampleMs, planMemory, pressureOf } from './memory-budget.ts'

const limits = { softBytes: 1_000, hardBytes: 2_000 }

function setUp() {
  const clock = new FakeClock()
  const seen: MemoryPressure[] = []
  const process = { resident: 100 }
  const budget = new MemoryBudget(limits, {
    clock,
    residentBytes: () => process.resident,
    onChange: (pressure) => seen.push(pressure),
  })
  return { clock, seen, process, budget }
}

test('new work is refused before the hard mark is passed; work in progress goes on', () => {
  const { budget } = setUp()
  assert.ok(budget.reserve(1_800))
  assert.equal(budget.pressure, 'soft')
  assert.equal(budget.reserve(200), false)
  assert.equal(budget.reservedBytes, 1_800)
  budget.charge(500)
  assert.equal(budget.pressure, 'hard')
  assert.equal(budget.reserve(1), false)
  budget.release(1_200)
  assert.ok(budget.reserve(1))
})

test('a level is left well below the mark at which it was entered', () => {
  const { budget, seen } = setUp()
  budget.charge(950)
  for (let i = 0; i < 10; i++) {
    budget.charge(20)
    budget.release(20)
  }
  assert.deepEqual(seen, ['soft'])
  budget.release(200)
  assert.deepEqual(seen, ['soft', 'none'])
})

test('memory that nobody reserved counts too, once it is seen', async () => {
  const { budget, process, clock, seen } = setUp()
  process.resident = 1_200
  assert.equal(budget.pressure, 'none')
  await clock.advance(memorySampleMs)
  assert.equal(budget.pressure, 'soft')
  process.resident = 2_500
  await clock.advance(memorySampleMs)
  assert.equal(budget.reserve(1), false)
  process.resident = 500
  await clock.advance(memorySampleMs)
  assert.deepEqual(seen, ['soft', 'hard', 'none'])
})

test('between two looks, what is reserved is added to what was seen', async () => {
  const { budget, process, clock } = setUp()
  process.resident = 900
  await clock.advance(memorySampleMs)
  assert.equal(budget.pressure, 'none')
  budget.charge(150)
  assert.equal(budget.pressure, 'soft')
})

test('memory that the allocator keeps after a flood does not refuse work for ever', async () => {
  const { budget, process, clock } = setUp()
  budget.charge(1_500)
  process.resident = 1_700
  await clock.advance(memorySampleMs)
  assert.equal(budget.pressure, 'soft')
  budget.release(1_400)
  await clock.advance(5_000)
  assert.equal(budget.pressure, 'soft')
  await clock.advance(6_000)
  assert.equal(budget.pressure, 'none')
  process.resident = 1_900
  budget.charge(200)
  await clock.advance(memorySampleMs)
  assert.equal(budget.pressure, 'soft')
})

test('memory that was kept and then given back to the system is not forgiven a second time', async () => {
  const { budget, process, clock } = setUp()
  budget.charge(1_500)
  process.resident = 1_700
  await clock.advance(memorySampleMs)
  budget.release(1_500)
  await clock.advance(11_000)
  process.resident = 200
  await clock.advance(memorySampleMs)
  assert.equal(budget.pressure, 'none')
  process.resident = 1_100
  await clock.advance(memorySampleMs)
  assert.equal(budget.pressure, 'soft')
})

test('a leak is not taken for kept memory without end', async () => {
  const { budget, process, clock } = setUp()
  budget.charge(1_200)
  budget.release(1_200)
  for (process.resident = 1_000; process.resident < 4_000; process.resident += 100) await clock.advance(5_000)
  assert.equal(budget.pressure, 'hard')
})

test('other marks count at once', () => {
  const { budget, seen } = setUp()
  budget.charge(1_500)
  budget.configure({ softBytes: 5_000, hardBytes: 9_000 })
  budget.configure({ softBytes: 100, hardBytes: 1_000 })
  assert.deepEqual(seen, ['soft', 'none', 'hard'])
})

test('the level follows use, and never lags by more than a tenth', () => {
  const level = fc.constantFrom<MemoryPressure>('none', 'soft', 'hard')
  fc.assert(
    fc.property(fc.nat(3_000), level, (used, before) => {
      const after = pressureOf(used, before, limits)
      if (used >= 2_000) assert.equal(after, 'hard')
      else if (used < 900) assert.equal(after, 'none')
      else if (used >= 1_000 && used < 1_800) assert.equal(after, 'soft')
      assert.equal(pressureOf(used, after, limits), after)
    }),
  )
})

test('marks that are not configured come from the worker’s part of the machine', () => {
  const gib = 1024 ** 3
  assert.deepEqual(planMemory({ softBytes: 0, hardBytes: 0 }, { totalBytes: 8 * gib, workers: 4 }), {
    softBytes: Math.floor(1.2 * gib),
    hardBytes: Math.floor(1.5 * gib),
  })
  assert.deepEqual(planMemory({ softBytes: 5, hardBytes: 9 }, { totalBytes: gib, workers: 1 }), {
    softBytes: 5,
    hardBytes: 9,
  })
  const onlyHard = planMemory({ softBytes: 0, hardBytes: gib }, { totalBytes: 64 * gib, workers: 1 })
  assert.ok(onlyHard.softBytes < gib)
  const tiny = planMemory({ softBytes: 0, hardBytes: 0 }, { totalBytes: gib / 16, workers: 2 })
  assert.ok(tiny.softBytes >= 150 * 1024 ** 2 && tiny.hardBytes > tiny.softBytes)
})
