import { compareBytes, type RangeId, toRangeId, toReplicaId, toStoreId } from '@flotilla/base';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RangeDescriptor } from '../range-descriptor.ts';
import { ServedRanges } from './served-ranges.ts';

function descriptorOf(rangeId: RangeId, startKey: Uint8Array, endKey: Uint8Array): RangeDescriptor {
  return {
    rangeId,
    startKey,
    endKey,
    generation: 5,
    boundsGeneration: 3,
    replicas: [{ replicaId: toReplicaId(1), storeId: toStoreId(1) }],
    nextReplicaId: toReplicaId(2),
  };
}

/** Short and of few letters, so that bounds and keys meet; some longer than a row has room for. */
const keys = fc.oneof(
  { weight: 9, arbitrary: fc.uint8Array({ max: 2, maxLength: 5 }) },
  { weight: 1, arbitrary: fc.uint8Array({ max: 2, minLength: 120, maxLength: 130 }) },
);
const rangeIds = fc.integer({ min: 1, max: 60 }).map((n) => toRangeId(n * 512));
const steps = fc.oneof(
  fc.record({
    kind: fc.constant('show' as const),
    rangeId: rangeIds,
    bounds: fc.tuple(keys, keys).filter(([a, b]) => compareBytes(a, b) < 0),
    storageId: fc.integer({ min: 1, max: 0xffff_ffff }),
  }),
  fc.record({ kind: fc.constant('hide' as const), rangeId: rangeIds }),
);

describe('ServedRanges', () => {
  it('knows of each range what was shown last, and nothing that is hidden or too long', () => {
    fc.assert(
      fc.property(
        fc.array(steps, { maxLength: 200 }),
        fc.array(keys, { minLength: 1, maxLength: 8 }),
        (all, asked) => {
          const served = new ServedRanges();
          const model = new Map<RangeId, { descriptor: RangeDescriptor; storageId: number }>();
          for (const step of all) {
            if (step.kind === 'hide') {
              served.hide(step.rangeId);
              model.delete(step.rangeId);
            } else {
              const [startKey, endKey] = step.bounds;
              const descriptor = descriptorOf(step.rangeId, startKey, endKey);
              served.show(descriptor, step.storageId);
              if (startKey.length + endKey.length <= 126)
                model.set(step.rangeId, { descriptor, storageId: step.storageId });
              else model.delete(step.rangeId);
            }
          }
          for (let n = 1; n <= 60; n++)
            for (const key of asked) {
              const known = model.get(toRangeId(n * 512));
              const within =
                known !== undefined &&
                compareBytes(known.descriptor.startKey, key) <= 0 &&
                compareBytes(key, known.descriptor.endKey) < 0;
              expect(served.storageOf(n * 512, 4, key)).toBe(within ? known.storageId : 0);
            }
        },
      ),
    );
  });

  it('serves requests that know the bounds, and none that know more than the replica', () => {
    const served = new ServedRanges();
    served.show(descriptorOf(toRangeId(7), Buffer.from('a'), Buffer.from('c')), 9);
    const at = (generation: number) => served.storageOf(7, generation, Buffer.from('b'));
    expect([2, 3, 4, 5, 6].map(at)).toEqual([0, 9, 9, 9, 0]);
    expect(served.storageOf(0, 4, Buffer.from('b'))).toBe(0);
    expect(served.storageOf(-7, 4, Buffer.from('b'))).toBe(0);
    expect(served.storageOf(7.5, 4, Buffer.from('b'))).toBe(0);
  });

  it('has room again for ranges that come after others have gone', () => {
    const served = new ServedRanges();
    for (let n = 1; n <= 5000; n++) {
      served.show(descriptorOf(toRangeId(n), Buffer.from('a'), Buffer.from('c')), n);
      if (n > 10) served.hide(n - 10);
    }
    const found = Array.from({ length: 5001 }, (_, n) => served.storageOf(n, 5, Buffer.of(0x62)));
    expect(found.filter((storageId) => storageId !== 0)).toEqual(
      Array.from({ length: 10 }, (_, i) => 4991 + i),
    );
  });
});
