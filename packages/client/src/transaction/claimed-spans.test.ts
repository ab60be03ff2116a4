/** Spans that a transaction alone knows of: when what is written there leaves, who sees it, and what goes wrong. */
import { DbError, type Span } from '@flotilla/base';
import { beforeEach, expect, it } from 'vitest';
import { uncertaintyMs } from './range-transaction.ts';
import {
  bytes,
  failureOf,
  setUpTransactions,
  type TestClient,
  type TransactionKit,
  text,
} from './transaction.test-kit.ts';

let kit: TransactionKit;
let one: TestClient;
let other: TestClient;

const span: Span = { startKey: bytes('b'), endKey: bytes('d') };

beforeEach(() => {
  kit = setUpTransactions();
  one = kit.client('one');
  other = kit.client('other');
});

async function stored(): Promise<string[]> {
  const found: string[] = [];
  const scan = async (): Promise<void> => {
    for await (const rows of other.router.scan({ startKey: bytes('a'), endKey: bytes('z') }))
      for (const { key, value } of rows) found.push(`${text(key)}=${text(value)}`);
  };
  await kit.run(scan());
  return found;
}

it('what was written out is older than the commit, and the commit shows all of it at one instant', async () => {
  const transaction = one.database.begin();
  transaction.claim(span);
  for (let n = 0; n < 3000; n++)
    transaction.insert(bytes(`b${String(n).padStart(5, '0')}`), bytes('row'));
  transaction.put(bytes('a'), bytes('catalog'));
  await kit.run(transaction.flush());
  expect(transaction.claimedBytes).toBe(0);
  expect(await stored()).toHaveLength(3000);
  await kit.run(transaction.commit());
  const [catalog, row] = await kit.run(other.router.get([bytes('a'), bytes('b02999')]));
  expect(row?.timestamp).toBeLessThan(catalog?.timestamp ?? 0);
});

it('what was never written out is part of the commit', async () => {
  const transaction = one.database.begin();
  transaction.claim(span);
  transaction.insert(bytes('b1'), bytes('row'));
  transaction.put(bytes('a'), bytes('catalog'));
  expect(await stored()).toEqual([]);
  await kit.run(transaction.commit());
  const [catalog, row] = await kit.run(other.router.get([bytes('a'), bytes('b1')]));
  expect(row?.timestamp).toBe(catalog?.timestamp);
});

it('a key that was inserted before is found when it leaves, and a savepoint takes that back', async () => {
  const transaction = one.database.begin();
  transaction.claim(span);
  transaction.insert(bytes('b1'), bytes('first'));
  expect(() => transaction.insert(bytes('b1'), bytes('second'))).toThrow(DbError);
  await kit.run(transaction.flush());
  const before = transaction.savepoint();
  transaction.insert(bytes('b0'), bytes('new'));
  transaction.insert(bytes('b1'), bytes('second'));
  const error = await failureOf(kit.run(transaction.flush()));
  expect([error.code, text(error.key)]).toEqual(['KEY_EXISTS', 'b1']);
  transaction.rollbackTo(before);
  expect(text(await kit.run(transaction.get(bytes('b0'))))).toBeUndefined();
  transaction.insert(bytes('c1'), bytes('third'));
  transaction.put(bytes('a'), bytes('catalog'));
  await kit.run(transaction.commit());
  expect(await stored()).toEqual(['a=catalog', 'b1=first', 'c1=third']);
});

it('what was written out after a savepoint is taken back with it, and does not come with the commit', async () => {
  const transaction = one.database.begin();
  transaction.claim(span);
  transaction.put(bytes('b1'), bytes('kept'));
  transaction.put(bytes('b2'), bytes('kept'));
  const before = transaction.savepoint();
  transaction.put(bytes('b1'), bytes('changed'));
  transaction.delete(bytes('b2'));
  transaction.put(bytes('c1'), bytes('added'));
  // Also what was written before the savepoint leaves now, and before the rest.
  await kit.run(transaction.flush());
  expect(await stored()).toEqual(['b1=changed', 'c1=added']);
  transaction.rollbackTo(before);
  expect(text(await kit.run(transaction.get(bytes('b2'))))).toBe('kept');
  expect(text(await kit.run(transaction.get(bytes('c1'))))).toBeUndefined();
  transaction.put(bytes('a'), bytes('catalog'));
  await kit.run(transaction.commit());
  expect(await stored()).toEqual(['a=catalog', 'b1=kept', 'b2=kept']);
});

it('locks nothing there and checks nothing at commit', async () => {
  const transaction = one.database.begin({ isolation: 'serializable' });
  transaction.claim(span);
  transaction.put(bytes('b1'), bytes('row'));
  await kit.run(transaction.flush());
  expect(text(await kit.run(transaction.get(bytes('b1'), { lock: 'exclusive' })))).toBe('row');
  // Nobody does this; if somebody did, it would not be waited for.
  await kit.run(
    other.router.write({
      conditions: [],
      mutations: [{ kind: 'put', key: bytes('b2'), value: bytes('stranger') }],
      deleteSpans: [],
    }),
  );
  transaction.put(bytes('a'), bytes('catalog'));
  await kit.run(transaction.commit());
});

it('a part that may yet arrive is not taken for something that was written later', async () => {
  const transaction = one.database.begin();
  transaction.claim(span);
  transaction.insert(bytes('b1'), bytes('row'));
  await kit.run(transaction.flush());
  const before = transaction.savepoint();
  transaction.insert(bytes('b2'), bytes('row'));
  const { write } = one.router;
  one.router.write = () =>
    Promise.reject(new DbError('OUTCOME_UNKNOWN', 'no answer', { outcome: 'unknown' }));
  const error = await failureOf(kit.run(transaction.flush()));
  one.router.write = write;
  // It is known of the transaction that it is not committed.
  expect([error.code, error.outcome]).toEqual(['UNAVAILABLE', 'not_applied']);
  transaction.rollbackTo(before);
  expect((await failureOf(kit.run(transaction.flush()))).code).toBe('UNAVAILABLE');
  expect((await failureOf(kit.run(transaction.commit()))).code).toBe('UNAVAILABLE');
});

it('a flush that is cancelled ends with what is under way, and can be made again', async () => {
  const transaction = one.database.begin();
  transaction.claim(span);
  for (let n = 0; n < 7000; n++)
    transaction.insert(bytes(`b${String(n).padStart(5, '0')}`), bytes('row'));
  const controller = new AbortController();
  const flushing = transaction.flush(controller.signal);
  controller.abort();
  expect((await failureOf(kit.run(flushing))).code).toBe('CANCELLED');
  const left = (await stored()).length;
  expect(left).toBeGreaterThan(0);
  expect(left).toBeLessThan(7000);
  await kit.run(transaction.flush());
  expect(await stored()).toHaveLength(7000);
});

it('moves a snapshot that is older than what is to be read', async () => {
  const write = async (value: string): Promise<number> => {
    await kit.run(
      other.router.write({
        conditions: [],
        mutations: [{ kind: 'put', key: bytes('c5'), value: bytes(value) }],
        deleteSpans: [],
      }),
    );
    return other.database.now();
  };
  const reader = one.database.begin({ isolation: 'serializable' });
  await kit.run(reader.get(bytes('a5')));
  await kit.pass(2 * uncertaintyMs);
  const filledAt = await write('loaded');
  expect(await kit.run(reader.get(bytes('c5')))).toBeUndefined();
  const late = one.database.begin({ isolation: 'serializable' });
  await kit.run(late.get(bytes('a5')));
  await write('again');
  await kit.run(late.readSince(other.database.now()));
  expect(text(await kit.run(late.get(bytes('c5'))))).toBe('again');
  // The first has seen that there was nothing.
  const error = await failureOf(kit.run(reader.readSince(filledAt)));
  expect(error.code).toBe('CONFLICT');
});

it('counts what waits towards the most that a transaction writes', () => {
  const transaction = one.database.begin();
  transaction.claim(span);
  const value = new Uint8Array(1024 * 1024);
  expect(() => {
    for (let n = 0; n < 70; n++) transaction.put(bytes(`b${n}`), value);
  }).toThrow('a transaction writes at most 67108864 bytes');
});
