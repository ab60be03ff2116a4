/** What a transaction claims shows and leaves what a plain map would, whenever some of it leaves memory. */
import { type Span, spanContains } from '@flotilla/base';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { setUpTransactions } from './transaction.test-kit.ts';

const letter = fc.constantFrom('a', 'b', 'c', 'd');
const key = fc.tuple(letter, letter).map((parts) => `k${parts.join('')}`);
const value = fc.integer({ min: 0, max: 99 }).map(String);
const operation = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('put' as const), key, value }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('insert' as const), key, value }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete' as const), key }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('flush' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('get' as const), key }) },
  {
    weight: 3,
    arbitrary: fc.record({
      ...{ kind: fc.constant('scan' as const), reverse: fc.boolean() },
      limit: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('savepoint' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('rollbackTo' as const, 'release' as const),
      at: fc.nat(5),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('statement' as const) }) },
);

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const everything: Span = { startKey: bytes('k'), endKey: bytes('l') };
const claimed: Span = { startKey: bytes('kb'), endKey: bytes('kd') };

it('agrees with a plain map, over savepoints and bounds of ranges, and after commit', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { maxLength: 40 }),
      fc.boolean(),
      async (operations, commits) => {
        const kit = setUpTransactions({ bounds: ['kaz', 'kbc', 'kcb'], skewsMs: [0, 150, -150] });
        const { router, database } = kit.client('one');
        const transaction = database.begin();
        let map = new Map<string, string>();
        let marks: {
          readonly mark: ReturnType<typeof transaction.savepoint>;
          readonly map: Map<string, string>;
        }[] = [];
        const mark = (): void => {
          marks.push({ mark: transaction.savepoint(), map: new Map(map) });
        };
        mark();
        transaction.beginStatement();
        transaction.claim(claimed);
        const rows = (reverse: boolean): [string, string][] => {
          const sorted = [...map].sort(([a], [b]) => (a < b ? -1 : 1));
          return reverse ? sorted.reverse() : sorted;
        };
        let isClaimed = true;
        for (const step of operations) {
          if (!isClaimed) break;
          switch (step.kind) {
            case 'put':
              transaction.put(bytes(step.key), bytes(step.value));
              map.set(step.key, step.value);
              break;
            case 'insert':
              // That it is there is found out at once or when it leaves memory: see the test beside this one.
              if (map.has(step.key)) break;
              transaction.insert(bytes(step.key), bytes(step.value));
              map.set(step.key, step.value);
              break;
            case 'delete':
              transaction.delete(bytes(step.key));
              map.delete(step.key);
              break;
            case 'flush':
              await kit.run(transaction.flush());
              expect(transaction.claimedBytes).toBe(0);
              break;
            case 'get': {
              const found = await kit.run(transaction.get(bytes(step.key), { lock: 'exclusive' }));
              expect(found === undefined ? undefined : text(found)).toBe(map.get(step.key));
              break;
            }
            case 'scan': {
              const seen: [string, string][] = [];
              const limit = step.limit === undefined ? {} : { limit: step.limit };
              const scan = async (): Promise<void> => {
                const options = { reverse: step.reverse, ...limit };
                for await (const batch of transaction.scan(everything, options))
                  for (const pair of batch) seen.push([text(pair.key), text(pair.value)]);
              };
              await kit.run(scan());
              expect(seen).toEqual(rows(step.reverse).slice(0, step.limit));
              break;
            }
            case 'savepoint':
              mark();
              break;
            case 'statement':
              transaction.beginStatement();
              break;
            case 'rollbackTo': {
              const at = step.at % marks.length;
              const before = marks[at];
              if (before === undefined) break;
              transaction.rollbackTo(before.mark);
              map = new Map(before.map);
              marks = marks.slice(0, at + 1);
              // The first one is older than the claim.
              if (at === 0) isClaimed = false;
              break;
            }
            case 'release': {
              const at = 1 + step.at;
              const before = marks[at];
              if (before === undefined) break;
              transaction.release(before.mark);
              marks = marks.slice(0, at);
            }
          }
          expect(transaction.hasClaimed(claimed)).toBe(isClaimed);
        }
        // What is outside shows only what is committed.
        const stored = async (): Promise<[string, string][]> => {
          const found: [string, string][] = [];
          for await (const batch of router.scan(everything))
            for (const row of batch) found.push([text(row.key), text(row.value)]);
          return found;
        };
        const outside = ([name]: [string, string]): boolean => !spanContains(claimed, bytes(name));
        expect((await kit.run(stored())).filter(outside)).toEqual([]);
        if (!commits) {
          transaction.rollback();
          expect((await kit.run(stored())).filter(outside)).toEqual([]);
          return;
        }
        await kit.run(transaction.commit());
        const left = await kit.run(stored());
        // What was claimed and rolled back as a whole is for its owner to discard.
        expect(isClaimed ? left : left.filter((row) => map.has(row[0]))).toEqual(rows(false));
      },
    ),
    { numRuns: 150 },
  );
}, 120_000);
