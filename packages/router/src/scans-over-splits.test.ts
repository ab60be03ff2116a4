/** Scans whose range is cut, and moved, while they look for it. */
import { kv } from '@flotilla/shard/protocol';
import { describe, expect, it } from 'vitest';
import { bytes, type Kit, setUp } from './router.test-kit.ts';
import { refuse } from './testing/fake-cluster.ts';

const { RefusalReason } = kv;
const span = { startKey: bytes('a'), endKey: bytes('z') };

/** The first characters of the keys, in the order in which they came. */
async function scanned(kit: Kit, reverse: boolean, withinMs?: number): Promise<string> {
  const collect = async (): Promise<string> => {
    let found = '';
    for await (const rows of kit.router.scan(span, { reverse }))
      for (const { key } of rows) found += Buffer.from(key).toString('latin1');
    return found;
  };
  return kit.run(collect(), withinMs);
}

describe('a scan', () => {
  for (const [reverse, expected] of [
    [false, 'abmn'],
    [true, 'nmba'],
  ] as const)
    it(`has every row once if its range is cut before a late answer comes, ${reverse ? 'in reverse' : 'forward'}`, async () => {
      const kit = setUp([]);
      const { cluster } = kit;
      for (const key of ['a', 'b', 'm', 'n']) cluster.put(bytes(key), bytes('v'));
      expect(await scanned(kit, reverse)).toBe(expected);
      let late: (() => void) | undefined;
      cluster.intercept = (storeId, request, clientId) => {
        if (!request.scan) return undefined;
        if (late !== undefined) {
          // The first attempt for one of the halves: the answer for the whole comes before that of the half.
          if (request.generation === 1) return undefined;
          cluster.intercept = undefined;
          late();
          return undefined;
        }
        const whole = cluster.usualAnswer(storeId, request);
        late = () => cluster.stores.get(storeId)?.reply(clientId, request.requestId ?? 0, whole);
        cluster.split(bytes('m'));
        return 'drop';
      };
      expect(await scanned(kit, reverse)).toBe(expected);
      expect(cluster.intercept).toBeUndefined();
    });

  it('in reverse finds the range below its end where only the index tells of it', async () => {
    const kit = setUp(['z']);
    const { cluster } = kit;
    for (const key of ['a', 'n']) cluster.put(bytes(key), bytes('v'));
    expect(await scanned(kit, true)).toBe('na');
    // The right half has moved to stores that the whole never had; those of the left half know nothing of it.
    const left = cluster.rangeOf(bytes('a'));
    const right = cluster.split(bytes('m'), 4);
    right.storeIds = [4, 5, 6];
    for (const storeId of right.storeIds) cluster.startStore(storeId);
    cluster.intercept = (storeId, request) =>
      request.rangeId === left.rangeId && request.generation === 1 && storeId === left.leaseholder
        ? refuse(RefusalReason.RANGE_KEY_MISMATCH, [cluster.infoOf(left)])
        : undefined;
    expect(await scanned(kit, true, 5000)).toBe('na');
  });
});
