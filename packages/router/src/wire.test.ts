import { kv } from '@flotilla/shard/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { WriteBatch } from './router-api.ts';
import { encodeGet, encodeWrite } from './wire.ts';

const key = fc.uint8Array({ maxLength: 40 });
const count = fc.oneof(
  fc.constantFrom(0, 1, 127, 128, 16_383, 16_384, 2 ** 28, 2 ** 31, 2 ** 32, 2 ** 35, 2 ** 49),
  fc.maxSafeNat(),
);
const head = fc.record({ requestId: count, timeoutMs: count, rangeId: count, generation: count });

describe('requests written by hand', () => {
  it('of reads are what the generated code writes', () => {
    fc.assert(
      fc.property(head, fc.array(key, { minLength: 1, maxLength: 5 }), (fields, keys) => {
        const generated = kv.Request.encode({ ...fields, get: { keys } }).finish();
        expect(Buffer.compare(encodeGet(fields, keys), generated)).toBe(0);
      }),
      { numRuns: 500 },
    );
  });

  it('of writes are what the generated code writes', () => {
    const condition = fc.oneof(
      fc.record({ kind: fc.constant('absent' as const), key }),
      fc.record({ kind: fc.constant('unchanged' as const), key, timestamp: count }),
    );
    const mutation = fc.oneof(
      fc.record({ kind: fc.constant('put' as const), key, value: fc.uint8Array() }),
      fc.record({ kind: fc.constant('delete' as const), key }),
    );
    const batches: fc.Arbitrary<WriteBatch> = fc.record({
      conditions: fc.array(condition, { maxLength: 4 }),
      mutations: fc.array(mutation, { maxLength: 4 }),
      deleteSpans: fc.array(fc.record({ startKey: key, endKey: key }), { maxLength: 3 }),
    });
    const ids = fc.record({ sessionId: count, serial: count, ackedUpTo: count });
    fc.assert(
      fc.property(head, ids, batches, (fields, numbers, batch) => {
        const generated = kv.Request.encode({
          ...fields,
          write: {
            ...numbers,
            conditions: batch.conditions.map((c) =>
              c.kind === 'absent'
                ? { key: c.key }
                : { key: c.key, kind: kv.ConditionKind.UNCHANGED, timestamp: c.timestamp },
            ),
            mutations: batch.mutations.map((m) =>
              m.kind === 'delete' ? { key: m.key, isDelete: true } : { key: m.key, value: m.value },
            ),
            deleteSpans: [...batch.deleteSpans],
          },
        }).finish();
        expect(Buffer.compare(encodeWrite(fields, numbers, batch), generated)).toBe(0);
      }),
      { numRuns: 500 },
    );
  });
});
