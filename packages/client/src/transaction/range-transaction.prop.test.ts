/** A transaction over ranges shows and leaves what the same operations on a plain map would. */
import { keyMax, type Span, spanContains } from '@flotilla/base';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { setUpTransactions } from './transaction.test-kit.ts';

const alphabet = ['a', 'b', 'c', '\xff'];
const key = fc.array(fc.constantFrom(...alphabet), { maxLength: 3 }).map((parts) => parts.join(''));
const value = fc.integer({ min: 0, max: 999 }).map(String);
const operation = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('put' as const), key, value }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('insert' as const), key, value }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete' as const), key }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('deleteSpan' as const), a: key, b: key }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('get' as const), key }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('scan' as const),
      a: key,
      b: key,
      reverse: fc.boolean(),
      limit: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined }),
    }),
  },
);

/** Keys of the key-value space, whatever the letters. */
const bytes = (text: string): Uint8Array => Buffer.from(`k${text}`, 'latin1');
const text = (value: Uint8Array): string => Buffer.from(value).toString('latin1').slice(1);

function spanOf(a: string, b: string): Span | undefined {
  const order = Buffer.compare(bytes(a), bytes(b));
  if (order === 0) return undefined;
  return order < 0
    ? { startKey: bytes(a), endKey: bytes(b) }
    : { startKey: bytes(b), endKey: bytes(a) };
}

function rowsOf(map: ReadonlyMap<string, string>, span: Span): [string, string][] {
  return [...map]
    .filter(([key]) => spanContains(span, bytes(key)))
    .sort(([a], [b]) => Buffer.compare(bytes(a), bytes(b)));
}

it('agrees with a plain map, operation by operation, and after commit', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(key, value, { maxKeys: 12 }),
      fc.uniqueArray(
        key.filter((k) => k.length > 0 && k < '\xff\xff'),
        { maxLength: 2 },
      ),
      fc.array(operation, { maxLength: 25 }),
      async (initial, splits, operations) => {
        const bounds = splits.map((split) => `k${split}`).sort((a, b) => (a < b ? -1 : 1));
        const kit = setUpTransactions({ bounds });
        const { router, database } = kit.client('one');
        const model = new Map<string, string>();
        for (const [key, value] of Object.entries(initial)) {
          if (key >= '\xff\xff') continue;
          const transaction = database.begin();
          transaction.put(bytes(key), bytes(value));
          await kit.run(transaction.commit());
          model.set(key, value);
        }
        const taken = new Set(model.keys());
        const transaction = database.begin();
        const touched = new Set<string>();
        let duplicate = false;
        for (const step of operations) {
          if ('key' in step && step.key >= '\xff\xff') continue;
          switch (step.kind) {
            case 'put':
              transaction.put(bytes(step.key), bytes(step.value));
              model.set(step.key, step.value);
              touched.add(step.key);
              break;
            case 'insert':
              if (touched.has(step.key) && model.has(step.key)) {
                expect(() => transaction.insert(bytes(step.key), bytes(step.value))).toThrow();
                break;
              }
              if (!touched.has(step.key) && taken.has(step.key)) duplicate = true;
              transaction.insert(bytes(step.key), bytes(step.value));
              model.set(step.key, step.value);
              touched.add(step.key);
              break;
            case 'delete':
              transaction.delete(bytes(step.key));
              model.delete(step.key);
              touched.add(step.key);
              break;
            case 'get': {
              const found = await kit.run(transaction.get(bytes(step.key)));
              expect(found === undefined ? undefined : text(found)).toBe(model.get(step.key));
              break;
            }
            case 'deleteSpan': {
              const span = spanOf(step.a, step.b);
              if (span === undefined) break;
              transaction.deleteSpan(span);
              for (const k of [...taken, ...model.keys()])
                if (spanContains(span, bytes(k))) {
                  model.delete(k);
                  touched.add(k);
                }
              break;
            }
            case 'scan': {
              const span = spanOf(step.a, step.b);
              if (span === undefined) break;
              const expected = rowsOf(model, span);
              if (step.reverse) expected.reverse();
              const seen: [string, string][] = [];
              const scan = async (): Promise<void> => {
                for await (const batch of transaction.scan(span, {
                  reverse: step.reverse,
                  ...(step.limit === undefined ? {} : { limit: step.limit }),
                }))
                  for (const pair of batch) seen.push([text(pair.key), text(pair.value)]);
              };
              await kit.run(scan());
              expect(seen).toEqual(expected.slice(0, step.limit));
            }
          }
        }
        const committed = await kit.run(transaction.commit()).then(
          () => 'ok',
          (error: { code: string }) => error.code,
        );
        if (duplicate) expect(committed).toBe('KEY_EXISTS');
        else {
          expect(committed).toBe('ok');
          const left = new Map<string, string>();
          const scan = async (): Promise<void> => {
            for await (const batch of router.scan({ startKey: bytes(''), endKey: keyMax }))
              for (const row of batch) left.set(text(row.key), text(row.value));
          };
          await kit.run(scan());
          expect([...left].sort()).toEqual([...model].sort());
        }
      },
    ),
    { numRuns: 60 },
  );
});
