import { kv } from '@flotilla/shard/protocol';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { encodeHeaderField, headerFields } from './header.ts';

const count = fc.oneof(fc.constantFrom(0, 1, 127, 128, 2 ** 28, 2 ** 49), fc.maxSafeNat());

it('the header of a transaction is what the generated code writes', () => {
  const contexts = fc.record({
    id: fc.uint8Array({ maxLength: 16 }),
    startedAt: count,
    readTimestamp: count,
    uncertaintyLimit: count,
    observed: fc.option(count),
    coordinator: fc.constantFrom('', 'r1', 'another-client'),
    following: fc.constantFrom(undefined, false, true),
  });
  fc.assert(
    fc.property(contexts, ({ observed, coordinator, following, ...fields }) => {
      const known = new Map(observed === null ? [] : [[2, observed]]);
      const context = { ...fields, observed: known, stores: new Set<number>() };
      const target = { coordinator, storeId: 2, ...(following === undefined ? {} : { following }) };
      const transaction = headerFields(context, target);
      const generated = kv.Request.encode({ transaction, followerRead: following === true });
      const written = encodeHeaderField(context, target);
      expect(Buffer.compare(written, generated.finish())).toBe(0);
    }),
    { numRuns: 500 },
  );
});
