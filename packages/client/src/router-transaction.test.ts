import { DbError, keyBytesMax, type Span, valueBytesMax } from '@flotilla/base';
import { describe, expect, it } from 'vitest';
import { deleteSpanRowsMax, RouterDatabase } from './router-transaction.ts';
import { MemoryRouter } from './testing/memory-router.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const text = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : Buffer.from(value).toString('latin1');
const span = (start: string, end: string): Span => ({
  startKey: bytes(start),
  endKey: bytes(end),
});

async function routerWith(
  rows: Record<string, string>,
  splitKeys: readonly string[] = [],
): Promise<MemoryRouter> {
  const router = new MemoryRouter({ splitKeys: splitKeys.map(bytes) });
  for (const [key, value] of Object.entries(rows))
    await router.write({
      conditions: [],
      mutations: [{ kind: 'put', key: bytes(key), value: bytes(value) }],
      deleteSpans: [],
    });
  router.writes.length = 0;
  return router;
}

async function allRows(router: MemoryRouter): Promise<Record<string, string | undefined>> {
  const rows: Record<string, string | undefined> = {};
  for await (const batch of router.scan(span('', '\xff\xff')))
    for (const row of batch) rows[text(row.key) ?? ''] = text(row.value);
  return rows;
}

async function failure(promise: Promise<unknown>): Promise<DbError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof DbError)) throw new Error(`expected a DbError, got ${String(error)}`);
  return error;
}

describe('RouterTransaction', () => {
  it('makes all its writes in one router write, with the conditions that its reads and inserts ask for', async () => {
    const router = await routerWith({ a: '1', b: '2' });
    const transaction = new RouterDatabase(router).begin();
    expect(text(await transaction.get(bytes('a')))).toBe('1');
    await transaction.get(bytes('z'));
    transaction.put(bytes('a'), bytes('1+'));
    transaction.delete(bytes('b'));
    transaction.insert(bytes('c'), bytes('3'));
    expect(router.writes).toHaveLength(0);
    await transaction.commit();
    expect(router.writes).toHaveLength(1);
    expect(router.writes[0]?.conditions).toEqual([
      { kind: 'unchanged', key: bytes('a'), timestamp: 1 },
      { kind: 'absent', key: bytes('c') },
    ]);
    expect(await allRows(router)).toEqual({ a: '1+', c: '3' });
  });

  it('sends nothing when nothing was written', async () => {
    const router = await routerWith({ a: '1' });
    const transaction = new RouterDatabase(router).begin();
    await transaction.get(bytes('a'));
    await transaction.commit();
    expect(router.writes).toHaveLength(0);
  });

  it('refuses to overwrite a key that was changed since it was read', async () => {
    const router = await routerWith({ n: '1' });
    const database = new RouterDatabase(router);
    const [first, second] = [database.begin(), database.begin()];
    for (const transaction of [first, second]) {
      const value = Number(text(await transaction.get(bytes('n'))));
      transaction.put(bytes('n'), bytes(String(value + 1)));
    }
    await first.commit();
    const error = await failure(second.commit());
    expect(error.code).toBe('CONFLICT');
    expect(error.outcome).toBe('not_applied');
    expect(text(error.key)).toBe('n');
    expect(await allRows(router)).toEqual({ n: '2' });
  });

  it('holds on to the first version it read of a key, however often it is read', async () => {
    const router = await routerWith({ n: '1' });
    const database = new RouterDatabase(router);
    const transaction = database.begin();
    await transaction.get(bytes('n'));
    const other = database.begin();
    other.put(bytes('n'), bytes('5'));
    await other.commit();
    await transaction.get(bytes('n'));
    transaction.put(bytes('n'), bytes('2'));
    expect((await failure(transaction.commit())).code).toBe('CONFLICT');
  });

  it('notices that a key which was read as absent has appeared, and that a scanned one has gone', async () => {
    const router = await routerWith({ a: '1' });
    const database = new RouterDatabase(router);
    const absent = database.begin();
    await absent.get(bytes('b'));
    absent.put(bytes('b'), bytes('mine'));
    const scanned = database.begin();
    for await (const _ of scanned.scan(span('a', 'b')));
    scanned.put(bytes('a'), bytes('mine'));
    const other = database.begin();
    other.put(bytes('b'), bytes('theirs'));
    other.delete(bytes('a'));
    await other.commit();
    expect((await failure(absent.commit())).code).toBe('CONFLICT');
    expect((await failure(scanned.commit())).code).toBe('CONFLICT');
    expect(await allRows(router)).toEqual({ b: 'theirs' });
  });

  it('names the key that an insert found taken', async () => {
    const router = await routerWith({ b: 'there' });
    const transaction = new RouterDatabase(router).begin();
    for (const key of ['a', 'b', 'c']) transaction.insert(bytes(key), bytes('new'));
    const error = await failure(transaction.commit());
    expect(error.code).toBe('KEY_EXISTS');
    expect(text(error.key)).toBe('b');
    expect(await allRows(router)).toEqual({ b: 'there' });
  });

  it('judges staleness before duplicates: the duplicate may be gone when the statement runs again', async () => {
    const router = await routerWith({ a: '1', b: '2' });
    const database = new RouterDatabase(router);
    const transaction = database.begin();
    transaction.insert(bytes('b'), bytes('new'));
    await transaction.get(bytes('a'));
    transaction.put(bytes('a'), bytes('new'));
    const other = database.begin();
    other.put(bytes('a'), bytes('theirs'));
    await other.commit();
    expect((await failure(transaction.commit())).code).toBe('CONFLICT');
  });

  it('refuses a second insert of its own key at once, and allows one after its own delete', async () => {
    const router = await routerWith({ a: '1' });
    const transaction = new RouterDatabase(router).begin();
    transaction.insert(bytes('b'), bytes('1'));
    expect(() => transaction.insert(bytes('b'), bytes('2'))).toThrowError(
      expect.objectContaining({ code: 'KEY_EXISTS', key: bytes('b') }),
    );
    transaction.delete(bytes('a'));
    transaction.insert(bytes('a'), bytes('again'));
    await transaction.commit();
    expect(await allRows(router)).toEqual({ a: 'again', b: '1' });
  });

  it('still checks an insert that was deleted again', async () => {
    const router = await routerWith({ a: 'there' });
    const transaction = new RouterDatabase(router).begin();
    transaction.insert(bytes('a'), bytes('mine'));
    transaction.delete(bytes('a'));
    expect((await failure(transaction.commit())).code).toBe('KEY_EXISTS');
    expect(await allRows(router)).toEqual({ a: 'there' });
  });

  it('refuses writes in two ranges and writes neither', async () => {
    const router = await routerWith({}, ['m']);
    const transaction = new RouterDatabase(router).begin();
    transaction.put(bytes('a'), bytes('1'));
    transaction.put(bytes('z'), bytes('2'));
    expect((await failure(transaction.commit())).code).toBe('NOT_SUPPORTED');
    expect(await allRows(router)).toEqual({});
  });

  it('passes an unknown outcome on as what it is', async () => {
    const router = await routerWith({});
    const error = new DbError('OUTCOME_UNKNOWN', 'lost', { outcome: 'unknown' });
    router.failWrite({ error, applied: true });
    const transaction = new RouterDatabase(router).begin();
    transaction.insert(bytes('a'), bytes('1'));
    expect(await failure(transaction.commit())).toBe(error);
    expect(router.writes).toHaveLength(1);
  });

  it('reads its own writes, and asks the router only for the rest', async () => {
    const router = await routerWith({ a: '1', b: '2', c: '3' });
    const transaction = new RouterDatabase(router).begin();
    transaction.put(bytes('a'), bytes('own'));
    transaction.delete(bytes('b'));
    const values = await transaction.getMany(['a', 'b', 'c', 'd', 'a'].map(bytes));
    expect(values.map(text)).toEqual(['own', undefined, '3', undefined, 'own']);
    expect(router.reads).toBe(1);
    await transaction.getMany([bytes('a'), bytes('b')]);
    expect(router.reads).toBe(1);
  });

  it('does not show a scan what was written after it began', async () => {
    const router = await routerWith({ a: '1', b: '2', c: '3' });
    const transaction = new RouterDatabase(router).begin();
    transaction.put(bytes('b'), bytes('own'));
    const seen: string[] = [];
    for await (const batch of transaction.scan(span('a', 'z'))) {
      for (const pair of batch) {
        seen.push(`${text(pair.key)}=${text(pair.value)}`);
        transaction.delete(pair.key);
        transaction.put(bytes(`x${text(pair.key)}`), pair.value);
      }
    }
    expect(seen).toEqual(['a=1', 'b=own', 'c=3']);
    await transaction.commit();
    expect(await allRows(router)).toEqual({ xa: '1', xb: 'own', xc: '3' });
  });

  it('deletes a span, own writes in it included, but not what was written into it later', async () => {
    const router = await routerWith({ a: '1', b: '2', c: '3', d: '4' });
    const transaction = new RouterDatabase(router).begin();
    transaction.put(bytes('b'), bytes('own'));
    transaction.deleteSpan(span('b', 'd'));
    expect(await transaction.get(bytes('b'))).toBeUndefined();
    expect(await transaction.get(bytes('c'))).toBeUndefined();
    transaction.insert(bytes('c'), bytes('new'));
    expect(text(await transaction.get(bytes('c')))).toBe('new');
    const seen: (string | undefined)[] = [];
    for await (const batch of transaction.scan(span('a', 'z'), { reverse: true }))
      for (const pair of batch) seen.push(text(pair.key));
    expect(seen).toEqual(['d', 'c', 'a']);
    await transaction.commit();
    expect(await allRows(router)).toEqual({ a: '1', c: 'new', d: '4' });
  });

  it('deletes a large span over several ranges in chunks', async () => {
    const rows: Record<string, string> = {};
    for (let i = 0; i < 2 * deleteSpanRowsMax + 10; i++)
      rows[`k${String(i).padStart(6, '0')}`] = '';
    const router = await routerWith({ ...rows, z: 'stays' }, ['k000500']);
    const transaction = new RouterDatabase(router).begin();
    transaction.deleteSpan(span('k', 'l'));
    await transaction.commit();
    expect(await allRows(router)).toEqual({ z: 'stays' });
    expect(router.writes.map((write) => write.deleteSpans.length)).toEqual([1, 1, 1]);
  });

  it('says that the outcome is unknown when a span could be deleted only in part', async () => {
    const rows: Record<string, string> = {};
    for (let i = 0; i <= deleteSpanRowsMax; i++) rows[`k${String(i).padStart(6, '0')}`] = '';
    const router = await routerWith(rows);
    router.failWrite({ error: new DbError('TIMEOUT', 'first'), applied: false });
    const first = new RouterDatabase(router).begin();
    first.deleteSpan(span('k', 'l'));
    expect((await failure(first.commit())).code).toBe('TIMEOUT');
    router.failWrite({ error: new DbError('TIMEOUT', 'second'), applied: false, after: 1 });
    const second = new RouterDatabase(router).begin();
    second.deleteSpan(span('k', 'l'));
    const error = await failure(second.commit());
    expect(error.code).toBe('OUTCOME_UNKNOWN');
    expect(error.outcome).toBe('unknown');
    expect(Object.keys(await allRows(router))).toHaveLength(1);
  });

  it('counts as committed once its single writes are made, whatever becomes of its spans', async () => {
    const router = await routerWith({ catalog: 'table', k1: '', k2: '' });
    router.failWrite({ error: new DbError('TIMEOUT', 'span'), applied: false, after: 1 });
    const transaction = new RouterDatabase(router).begin();
    transaction.delete(bytes('catalog'));
    transaction.deleteSpan(span('k', 'l'));
    await transaction.commit();
    expect(await allRows(router)).toEqual({ k1: '', k2: '' });
  });

  it('refuses what is too large before anything is sent', async () => {
    const router = await routerWith({});
    const transaction = new RouterDatabase(router).begin();
    const tooLarge = expect.objectContaining({ code: 'TOO_LARGE' });
    expect(() => transaction.put(new Uint8Array(keyBytesMax + 1), bytes(''))).toThrowError(
      tooLarge,
    );
    const large = new Uint8Array(valueBytesMax);
    expect(() => transaction.put(bytes('a'), new Uint8Array(valueBytesMax + 1))).toThrowError(
      tooLarge,
    );
    transaction.put(bytes('a'), large);
    transaction.put(bytes('a'), large);
    transaction.put(bytes('a'), bytes('small'));
    transaction.put(bytes('b'), large);
    expect(() => transaction.put(bytes('c'), large)).toThrowError(tooLarge);
    await transaction.commit();
    expect(router.writes[0]?.mutations).toHaveLength(2);
  });

  it('refuses to write where it promised only to read, and anything after its end', async () => {
    const router = await routerWith({ a: '1' });
    const database = new RouterDatabase(router);
    const reader = database.begin({ readOnly: true });
    expect(text(await reader.get(bytes('a')))).toBe('1');
    expect(() => reader.put(bytes('a'), bytes('2'))).toThrowError(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
    const ended = database.begin();
    ended.put(bytes('a'), bytes('2'));
    ended.rollback();
    expect((await failure(ended.commit())).code).toBe('CLOSED');
    expect((await failure(ended.get(bytes('a')))).code).toBe('CLOSED');
    expect(await allRows(router)).toEqual({ a: '1' });
  });
});
