import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EnsSource } from '../ports.ts'

/** Values that every adapter of `EnsSource` is asked about; whoever starts one puts these names in place. */
export const ensConformance = {
  owner: '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266',
  vm: '1'.repeat(64),
  contentCid: 'bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi',
  /** name -> what it has. All belong to `owner`. */
  names: {
    'vm.eth': ['vm'],
    'content.eth': ['contentCid'],
    'both.eth': ['vm', 'contentCid'],
    'bare.eth': [],
    'deep.under.both.eth': ['vm'],
  },
} as const

/** What every `EnsSource` must do. `source` may be shared: nothing here changes it. */
export function ensSourceConformance(adapter: string, source: () => EnsSource): void {
  const signal = AbortSignal.timeout(20_000)
  for (const [name, has] of Object.entries(ensConformance.names)) {
    test(`${adapter}: ${name} has ${has.length === 0 ? 'no record' : has.join(' and ')} and its owner`, async () => {
      const records = await source().records(name, signal)
      assert.ok(records)
      assert.equal(records.vm, (has as readonly string[]).includes('vm') ? ensConformance.vm : undefined)
      assert.equal(
        records.contentCid,
        (has as readonly string[]).includes('contentCid') ? ensConformance.contentCid : undefined,
      )
      assert.equal(records.owner, ensConformance.owner)
      assert.equal(records.unsupported, undefined)
      assert.ok(records.blockNumber > 0n)
    })
  }
  test(`${adapter}: a name without a resolver is undefined`, async () => {
    assert.equal(await source().records('nobody.eth', signal), undefined)
    assert.equal(await source().records('below.vm.eth', signal), undefined)
  })
  test(`${adapter}: upper case is the same name, and names that ENSIP-15 refuses are refused`, async () => {
    assert.equal((await source().records('VM.eth', signal))?.vm, ensConformance.vm)
    for (const name of ['a..eth', 'under_score_.eth', '[1234].eth', '\u0430pple.eth', '']) {
      await assert.rejects(source().records(name, signal), { code: 'RESOLVER_ENS_NAME_INVALID', fault: 'caller' }, name)
    }
  })
  test(`${adapter}: an asker that gave up gets no answer`, async () => {
    await assert.rejects(source().records('vm.eth', AbortSignal.abort(new Error('gave up'))), /gave up/)
  })
}
