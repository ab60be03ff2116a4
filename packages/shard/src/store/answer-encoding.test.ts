import fc from 'fast-check';
import { expect, it } from 'vitest';
import { kv } from '../protocol/index.ts';
import { RefusalReason, refusal } from '../replica/answers.ts';
import { encodeAnswer } from './answer-encoding.ts';

const count = fc.oneof(
  fc.constantFrom(0, 1, 127, 128, 16_383, 16_384, 2 ** 28, 2 ** 31, 2 ** 32, 2 ** 35, 2 ** 49),
  fc.maxSafeNat(),
);
const value = fc.record(
  {
    present: fc.boolean(),
    value: fc.uint8Array({ maxLength: 300 }),
    timestamp: count,
    skipped: fc.boolean(),
  },
  { requiredKeys: [] },
);

it('answers to gets are what the generated code writes', () => {
  const get = fc.record(
    { values: fc.array(value, { maxLength: 4 }), readTimestamp: count, storeTimestamp: count },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(count, get, (requestId, answer) => {
      const generated = kv.Response.encode({ requestId, get: answer }).finish();
      expect(Buffer.compare(encodeAnswer(requestId, { get: answer }), generated)).toBe(0);
    }),
    { numRuns: 500 },
  );
});

it('all fields of the message are known here: those of values are written by hand, the others not', () => {
  const byHand = ['values', 'readTimestamp', 'storeTimestamp'];
  const ofPrograms = ['evaluated', 'result', 'rowsRead', 'keysDone'];
  expect(Object.keys(kv.GetResponse.prototype).sort()).toEqual([...byHand, ...ofPrograms].sort());
  const get = { evaluated: true, result: Buffer.of(1, 2), rowsRead: 3, keysDone: 4 };
  const decoded = kv.Response.decode(encodeAnswer(7, { get: { ...get, readTimestamp: 9 } }));
  expect(decoded.get).toMatchObject({ ...get, readTimestamp: 9 });
});

it('other answers are encoded whole', () => {
  const answer = refusal(RefusalReason.BUSY, 'later', { retryAfterMs: 20 });
  const decoded = kv.Response.decode(encodeAnswer(7, answer));
  expect(decoded.requestId).toBe(7);
  expect(decoded.refusal).toMatchObject({ message: 'later', retryAfterMs: 20 });
});
