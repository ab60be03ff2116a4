import { lockedByOther } from '@flotilla/sql';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  bytes,
  failureOf,
  setUpTransactions,
  type TestClient,
  type TransactionKit,
  text,
} from './transaction.test-kit.ts';

/** Coordinators against pretended stores: five ranges, below `a`, and from `a`, `b`, `c` and `d`. */

let kit: TransactionKit;
let one: TestClient;
let two: TestClient;

beforeEach(() => {
  kit = setUpTransactions();
  one = kit.client('one');
  two = kit.client('two');
});

async function write(client: TestClient, rows: Record<string, string>): Promise<void> {
  const transaction = client.database.begin();
  for (const [key, value] of Object.entries(rows)) transaction.put(bytes(key), bytes(value));
  await kit.run(transaction.commit());
  await kit.run(client.database.idle());
}

async function read(client: TestClient, ...keys: string[]): Promise<(string | undefined)[]> {
  const transaction = client.database.begin({ readOnly: true });
  const values = await kit.run(transaction.getMany(keys.map(bytes)));
  transaction.rollback();
  return values.map(text);
}

async function scanned(client: TestClient, from: string, to: string): Promise<string[]> {
  const found: string[] = [];
  const transaction = client.database.begin();
  const all = async (): Promise<void> => {
    for await (const pairs of transaction.scan({ startKey: bytes(from), endKey: bytes(to) }))
      for (const { key, value } of pairs) found.push(`${text(key)}=${text(value)}`);
  };
  await kit.run(all());
  return found;
}

/** Requests to ranges since the log had this length, by kind, look-ups and sessions aside. */
function kindsSince(length: number): string[] {
  const kinds = ['get', 'scan', 'write', 'prepare', 'refresh', 'decide', 'resolve'] as const;
  return kit.cluster.log.slice(length).flatMap(({ request }) => {
    const kind = kinds.find((name) => !!request[name]);
    const lookup = kind === 'scan' && (request.scan?.startKey?.[0] ?? 0) === 2;
    if (kind === undefined || lookup) return [];
    return [request.resolve?.resolutions?.[0]?.undecided ? 'announce' : kind];
  });
}

describe('a transaction of many keys', () => {
  it('is promised in messages of bounded size, whole or not at all', async () => {
    const transaction = one.database.begin();
    const value = Buffer.alloc(100, 'v');
    const key = (n: number): Buffer => bytes(`${n % 3 === 0 ? 'c' : 'a'}${n}`);
    for (let n = 0; n < 12_000; n++) transaction.insert(key(n), value);
    const before = kit.cluster.log.length;
    await kit.run(transaction.commit());
    await kit.run(one.database.idle());
    const prepares = kit.cluster.log
      .slice(before)
      .flatMap(({ request }) => (request.prepare ? [request.prepare] : []));
    expect(prepares.length).toBeGreaterThan(4);
    for (const { mutations, conditions } of prepares) {
      expect(mutations?.length).toBeLessThan(2500);
      // What a write demands of its key travels with it.
      expect(conditions?.map((each) => text(each.key ?? undefined))).toEqual(
        mutations?.map((each) => text(each.key ?? undefined)),
      );
    }
    expect(await scanned(two, 'a', 'b')).toHaveLength(8000);
    expect(await scanned(two, 'c', 'd')).toHaveLength(4000);

    const again = two.database.begin();
    for (let n = 0; n < 12_000; n++) again.insert(bytes(`b${n}`), value);
    again.insert(key(11_999), value);
    expect((await failureOf(kit.run(again.commit()))).code).toBe('KEY_EXISTS');
    await kit.run(two.database.idle());
    expect(await scanned(one, 'b', 'c')).toEqual([]);
  });
});

describe('a deleted span', () => {
  it('goes with the rest of the transaction, over ranges, or not at all', async () => {
    const many = Object.fromEntries(
      Array.from({ length: 30 }, (_, n) => [`${'abc'[n % 3]}${n}`, 'x']),
    );
    await write(one, { ...many, d1: 'stays' });
    const seen = two.database.begin({ readOnly: true });
    await kit.run(seen.get(bytes('a0')));
    // What is written now is surely later than the snapshot.
    await kit.pass(1000);
    const transaction = one.database.begin();
    transaction.put(bytes('d2'), bytes('beside'));
    transaction.deleteSpan({ startKey: bytes('a'), endKey: bytes('c9') });
    transaction.put(bytes('b1'), bytes('again'));
    await kit.run(transaction.commit());
    expect(await scanned(two, 'a', 'e')).toEqual(['b1=again', 'd1=stays', 'd2=beside']);
    // A snapshot of before has all of it.
    expect((await kit.run(seen.getMany(Object.keys(many).map(bytes)))).map(text)).toEqual(
      Object.values(many),
    );
    const failing = one.database.begin();
    failing.deleteSpan({ startKey: bytes('a'), endKey: bytes('e') });
    failing.insert(bytes('e1'), bytes('x'));
    await write(two, { e1: 'there' });
    expect(await failureOf(kit.run(failing.commit()))).toMatchObject({ code: 'KEY_EXISTS' });
    expect(await scanned(two, 'a', 'e')).toEqual(['b1=again', 'd1=stays', 'd2=beside']);
  });

  it('that nothing refers to is discarded outside of transactions, range by range', async () => {
    await write(one, { a1: 'x', a2: 'x', b1: 'x', c1: 'x', d1: 'stays' });
    const span = { startKey: bytes('a'), endKey: bytes('d') };
    const before = kit.cluster.log.length;
    await kit.run(one.database.discard(span));
    expect(kindsSince(before).filter((kind) => kind === 'write')).toHaveLength(3);
    expect(await scanned(two, 'a', 'e')).toEqual(['d1=stays']);
  });

  it('is discarded no further when that is not wanted any more', async () => {
    await write(one, { a1: 'x', b1: 'x' });
    const span = { startKey: bytes('a'), endKey: bytes('d') };
    const stop = new AbortController();
    const discarding = one.database.discard(span, stop.signal);
    stop.abort();
    expect(await failureOf(kit.run(discarding))).toMatchObject({ code: 'CANCELLED' });
    expect(await scanned(two, 'a', 'e')).toEqual(['a1=x', 'b1=x']);
  });

  it('is all that there is: a row that comes meanwhile is a conflict', async () => {
    await write(one, { a1: 'x', b1: 'x' });
    const transaction = one.database.begin();
    await kit.run(transaction.get(bytes('a1')));
    // Later than clocks may differ: the snapshot cannot be asked to have it.
    await kit.pass(1000);
    await write(two, { b2: 'new' });
    transaction.deleteSpan({ startKey: bytes('a'), endKey: bytes('c') });
    expect(await failureOf(kit.run(transaction.commit()))).toMatchObject({ code: 'CONFLICT' });
    expect(await scanned(two, 'a', 'c')).toEqual(['a1=x', 'b1=x', 'b2=new']);
  });
});

describe('what a commit costs', () => {
  it('a write to one range is one request', async () => {
    await write(one, { a1: 'x', b1: 'x' });
    const before = kit.cluster.log.length;
    await write(one, { a1: '1', a2: '2' });
    expect(kindsSince(before)).toEqual(['write']);
    expect(await read(two, 'a1', 'a2')).toEqual(['1', '2']);
  });

  it('a read and a write of one range are two requests, whatever else was checked there', async () => {
    await write(one, { a1: 'x', a2: 'y' });
    const before = kit.cluster.log.length;
    const transaction = one.database.begin();
    await kit.run(transaction.getMany([bytes('a1'), bytes('a2')]));
    transaction.put(bytes('a1'), bytes('z'));
    await kit.run(transaction.commit());
    expect(kindsSince(before)).toEqual(['get', 'write']);
  });

  it('a commit to three ranges is one round of prepares before it is acknowledged', async () => {
    await write(one, { a1: 'x', b1: 'x', c1: 'x' });
    const transaction = one.database.begin();
    for (const key of ['a1', 'b1', 'c1']) transaction.put(bytes(key), bytes('new'));
    const before = kit.cluster.log.length;
    await kit.run(transaction.commit());
    // The record's decision leaves in the turn of the acknowledgement, the announcement after it.
    const promises = kindsSince(before).filter((kind) => kind !== 'decide' && kind !== 'announce');
    expect(promises).toHaveLength(3);
    await kit.run(one.database.idle());
    // One key is resolved with the decision; the last request forgets the record.
    expect(kindsSince(before).toSorted()).toEqual([
      'announce',
      'announce',
      'announce',
      'decide',
      'prepare',
      'prepare',
      'prepare',
      'resolve',
      'resolve',
      'resolve',
    ]);
    expect(kit.cluster.isClean).toBe(true);
    expect(kit.cluster.records.size).toBe(0);
    expect(await read(two, 'a1', 'b1', 'c1')).toEqual(['new', 'new', 'new']);
  });

  it('resolutions of many transactions leave together', async () => {
    await write(one, { a1: 'x', b1: 'x' });
    const before = kit.cluster.log.length;
    const commits = Array.from({ length: 20 }, (_, n) => {
      const transaction = one.database.begin();
      transaction.put(bytes(`a${n}`), bytes('v'));
      transaction.put(bytes(`b${n}`), bytes('v'));
      return transaction.commit();
    });
    await kit.run(Promise.all(commits));
    await kit.run(one.database.idle());
    const resolves = kindsSince(before).filter((kind) => kind === 'resolve');
    expect(resolves.length).toBeLessThanOrEqual(6);
    expect(kit.cluster.isClean).toBe(true);
  });
});

describe('reads', () => {
  it('see one snapshot over all ranges, whatever is written meanwhile', async () => {
    await write(one, { a1: '1', b1: '1' });
    await kit.pass(300);
    const transaction = one.database.begin();
    expect(text(await kit.run(transaction.get(bytes('a1'))))).toBe('1');
    await kit.pass(300);
    await write(two, { a1: '2', b1: '2' });
    expect(text(await kit.run(transaction.get(bytes('b1'))))).toBe('1');
    await kit.run(transaction.commit());
  });

  it('move to a later snapshot where a value may be older than the transaction and nothing read has changed', async () => {
    kit = setUpTransactions({ skewsMs: [0, 100, 0] });
    one = kit.client('one');
    two = kit.client('two');
    await write(two, { b1: 'old', c1: 'old' });
    await kit.pass(300);
    // The clock of the store that holds c1 is ahead of everybody's.
    const third = kit.client('three');
    await read(third, 'b1');
    const transaction = third.database.begin();
    expect(text(await kit.run(transaction.get(bytes('b1'))))).toBe('old');
    await kit.pass(5);
    await write(two, { c1: 'new' });
    const refreshes = (): number => kindsSince(0).filter((kind) => kind === 'refresh').length;
    const before = refreshes();
    expect(text(await kit.run(transaction.get(bytes('c1'))))).toBe('new');
    expect(refreshes()).toBe(before + 1);
  });

  it('scan ranges in order, both ways, with own writes and deletions', async () => {
    await write(one, { a1: '1', b1: '1', c1: '1', d1: '1' });
    expect(await scanned(two, 'a', 'e')).toEqual(['a1=1', 'b1=1', 'c1=1', 'd1=1']);
    const transaction = one.database.begin();
    transaction.put(bytes('b0'), bytes('own'));
    transaction.delete(bytes('c1'));
    const found: string[] = [];
    const all = async (): Promise<void> => {
      const span = { startKey: bytes('a'), endKey: bytes('e') };
      for await (const pairs of transaction.scan(span, { reverse: true, limit: 3 }))
        for (const { key } of pairs) found.push(text(key) ?? '');
    };
    await kit.run(all());
    expect(found).toEqual(['d1', 'b1', 'b0']);
  });

  it('of the past see it as it was', async () => {
    await write(one, { a1: 'old' });
    await kit.pass(1000);
    const asOf = kit.clock.wallMs();
    await kit.pass(1000);
    await write(one, { a1: 'new' });
    const transaction = two.database.begin({ readOnly: true, asOf });
    expect(text(await kit.run(transaction.get(bytes('a1'))))).toBe('old');
    expect(await read(two, 'a1')).toEqual(['new']);
  });
});

describe('conflicts', () => {
  it('a value that was changed since it was read: nothing is written anywhere', async () => {
    await write(one, { a1: '1', b1: '1' });
    const transaction = one.database.begin();
    await kit.run(transaction.get(bytes('a1')));
    transaction.put(bytes('a1'), bytes('lost'));
    transaction.put(bytes('b1'), bytes('lost'));
    await write(two, { a1: '2' });
    expect(await failureOf(kit.run(transaction.commit()))).toMatchObject({ code: 'CONFLICT' });
    await kit.run(one.database.idle());
    expect(kit.cluster.isClean).toBe(true);
    expect(await read(two, 'a1', 'b1')).toEqual(['2', '1']);
  });

  it.each(['serializable', 'repeatable read', 'read committed'] as const)(
    'a value that was only read, in another range (%s)',
    async (isolation) => {
      await write(one, { a1: '1', b1: '1' });
      const transaction = one.database.begin({ isolation });
      await kit.run(transaction.get(bytes('a1')));
      transaction.put(bytes('b1'), bytes('mine'));
      await write(two, { a1: '2' });
      const commit = kit.run(transaction.commit());
      if (isolation === 'serializable') {
        // At its snapshot both held: it may be placed before the other, as long as nobody has read b1 since.
        await commit;
        expect(await read(two, 'a1', 'b1')).toEqual(['2', 'mine']);
      } else {
        await commit;
      }
    },
  );

  it('write skew is refused', async () => {
    await write(one, { a1: '1', b1: '1' });
    const [first, second] = [one.database.begin(), two.database.begin()];
    for (const transaction of [first, second])
      await kit.run(transaction.getMany([bytes('a1'), bytes('b1')]));
    first.put(bytes('a1'), bytes('0'));
    second.put(bytes('b1'), bytes('0'));
    const ends = await kit.run(Promise.allSettled([first.commit(), second.commit()]));
    expect(ends.filter(({ status }) => status === 'fulfilled').length).toBeLessThanOrEqual(1);
    await kit.run(Promise.all([one.database.idle(), two.database.idle()]));
    expect(await read(two, 'a1', 'b1')).not.toEqual(['0', '0']);
  });

  it('a row that appears in a span that was scanned', async () => {
    await write(one, { a1: '1', c1: '1' });
    const transaction = one.database.begin();
    const count = async (): Promise<number> => {
      let rows = 0;
      const span = { startKey: bytes('a'), endKey: bytes('d') };
      for await (const pairs of transaction.scan(span)) rows += pairs.length;
      return rows;
    };
    expect(await kit.run(count())).toBe(2);
    await kit.pass(5);
    await write(two, { b1: 'phantom' });
    await kit.pass(5);
    transaction.put(bytes('a1'), bytes('2'));
    expect(await failureOf(kit.run(transaction.commit()))).toMatchObject({ code: 'CONFLICT' });
  });

  it('a key that had to be absent, in one of two ranges', async () => {
    await write(one, { b1: 'there' });
    const transaction = one.database.begin();
    transaction.insert(bytes('a1'), bytes('new'));
    transaction.insert(bytes('b1'), bytes('new'));
    const error = await failureOf(kit.run(transaction.commit()));
    expect(error).toMatchObject({ code: 'KEY_EXISTS', outcome: 'not_applied' });
    expect(text(error.key)).toBe('b1');
    await kit.run(one.database.idle());
    expect(kit.cluster.isClean).toBe(true);
    expect(await read(two, 'a1', 'b1')).toEqual([undefined, 'there']);
  });

  it('two promises in each other’s way: one gives way, the other commits', async () => {
    await write(one, { a1: '0', b1: '0' });
    for (let round = 0; round < 10; round++) {
      const transactions = [one, two].map(({ database, name }, index) => {
        const transaction = database.begin();
        for (const key of index === 0 ? ['a1', 'b1'] : ['b1', 'a1'])
          transaction.put(bytes(key), bytes(`${name} ${round}`));
        return transaction.commit();
      });
      const ends = await kit.run(Promise.allSettled(transactions));
      expect(ends.some(({ status }) => status === 'fulfilled')).toBe(true);
      await kit.run(Promise.all([one.database.idle(), two.database.idle()]));
      const [a, b] = await read(one, 'a1', 'b1');
      expect(a).toBe(b);
    }
    expect(kit.cluster.isClean).toBe(true);
  });
});

describe('locks', () => {
  it('keep others waiting until the transaction ends', async () => {
    await write(one, { a1: '1' });
    const holder = one.database.begin({ isolation: 'read committed' });
    expect(text(await kit.run(holder.get(bytes('a1'), { lock: 'exclusive' })))).toBe('1');
    const waiter = two.database.begin({ isolation: 'read committed' });
    let got: string | undefined;
    const waiting = waiter.get(bytes('a1'), { lock: 'exclusive' }).then((value) => {
      got = text(value);
    });
    await kit.pass(700);
    expect(got).toBeUndefined();
    holder.put(bytes('a1'), bytes('2'));
    await kit.run(holder.commit());
    await kit.run(waiting);
    expect(got).toBe('2');
    waiter.rollback();
    await kit.pass(50);
    expect(kit.cluster.isClean).toBe(true);
  });

  it('are kept alive for as long as the transaction lives, and no longer than its client', async () => {
    await write(one, { a1: '1' });
    const holder = one.database.begin();
    await kit.run(holder.get(bytes('a1'), { lock: 'exclusive' }));
    await kit.pass(12_000);
    const impatient = two.database.begin();
    const refused = impatient.get(bytes('a1'), { lock: 'share', wait: 'nowait' });
    expect(await failureOf(kit.run(refused))).toMatchObject({ code: 'LOCK_NOT_AVAILABLE' });
    kit.network.isolate('one');
    await kit.pass(6000);
    expect(text(await kit.run(impatient.get(bytes('a1'), { lock: 'share', wait: 'nowait' })))).toBe(
      '1',
    );
  });

  it('skip what others hold, give up after a time, and share', async () => {
    await write(one, { a1: '1', a2: '2' });
    const holder = one.database.begin();
    await kit.run(holder.get(bytes('a1'), { lock: 'share' }));
    const other = two.database.begin();
    expect(text(await kit.run(other.get(bytes('a1'), { lock: 'share' })))).toBe('1');
    const keys = [bytes('a1'), bytes('a2')];
    const skipped = await kit.run(other.getMany(keys, { lock: 'exclusive', wait: 'skip' }));
    expect(skipped[0]).toBe(lockedByOther);
    const late = other.get(bytes('a1'), { lock: 'exclusive', lockTimeoutMs: 300 });
    const startedAt = kit.clock.nowMs();
    expect(await failureOf(kit.run(late))).toMatchObject({ code: 'LOCK_NOT_AVAILABLE' });
    expect(kit.clock.nowMs() - startedAt).toBeLessThan(700);
    for (const transaction of [holder, other]) transaction.rollback();
    await kit.pass(50);
    expect(kit.cluster.isClean).toBe(true);
  });

  it.each([1, 2])('a deadlock ends with its youngest, over %i clients', async (clients) => {
    await write(one, { a1: '1', c1: '1' });
    const second = clients === 1 ? one : two;
    const older = one.database.begin();
    await kit.pass(5);
    const younger = second.database.begin();
    await kit.run(older.get(bytes('a1'), { lock: 'exclusive' }));
    await kit.run(younger.get(bytes('c1'), { lock: 'exclusive' }));
    const startedAt = kit.clock.nowMs();
    const olderWaits = older.get(bytes('c1'), { lock: 'exclusive' });
    const youngerWaits = younger.get(bytes('a1'), { lock: 'exclusive' });
    expect(await failureOf(kit.run(youngerWaits))).toMatchObject({ code: 'DEADLOCK' });
    expect(kit.clock.nowMs() - startedAt).toBeLessThan(3000);
    younger.rollback();
    expect(text(await kit.run(olderWaits))).toBe('1');
    older.rollback();
  });

  it('show the newest value: a serializable transaction that read an older one fails, or moves if it read others', async () => {
    await write(one, { a1: '1', b1: '1' });
    const stale = one.database.begin();
    await kit.run(stale.get(bytes('a1')));
    const moved = one.database.begin();
    await kit.run(moved.get(bytes('b1')));
    await write(two, { a1: '2' });
    const failed = stale.get(bytes('a1'), { lock: 'exclusive' });
    expect(await failureOf(kit.run(failed))).toMatchObject({ code: 'CONFLICT' });
    stale.rollback();
    await kit.pass(20);
    expect(text(await kit.run(moved.get(bytes('a1'), { lock: 'exclusive' })))).toBe('2');
    moved.put(bytes('a1'), bytes('3'));
    await kit.run(moved.commit());
  });
});

describe('statements', () => {
  it('of read committed see what others have committed before each', async () => {
    await write(one, { a1: '1' });
    const transaction = one.database.begin({ isolation: 'read committed' });
    transaction.beginStatement();
    expect(text(await kit.run(transaction.get(bytes('a1'))))).toBe('1');
    await write(two, { a1: '2' });
    expect(text(await kit.run(transaction.get(bytes('a1'))))).toBe('1');
    transaction.beginStatement();
    expect(text(await kit.run(transaction.get(bytes('a1'))))).toBe('2');
    expect(transaction.restartable).toBe(true);
    await kit.run(transaction.commit());
  });

  it('do not write over what others have made of a key since an earlier one has read and written it', async () => {
    await write(one, { a1: '1' });
    const transaction = one.database.begin({ isolation: 'read committed' });
    transaction.beginStatement();
    const value = text(await kit.run(transaction.get(bytes('a1'))));
    transaction.put(bytes('a1'), bytes(`${value} and mine`));
    await write(two, { a1: '2' });
    transaction.beginStatement();
    const again = kit.run(transaction.get(bytes('a1'), { lock: 'exclusive' }));
    expect(await failureOf(again)).toMatchObject({ code: 'CONFLICT' });
    transaction.rollback();
  });

  it('rely on what they have locked, and hear it when a lock was lost', async () => {
    await write(one, { a1: '1', b1: '1' });
    const transaction = one.database.begin({ isolation: 'read committed' });
    transaction.beginStatement();
    await kit.run(transaction.get(bytes('a1'), { lock: 'exclusive' }));
    kit.cluster.locks.loseAll();
    await write(two, { a1: '2' });
    const again = kit.run(transaction.get(bytes('a1'), { lock: 'exclusive' }));
    expect(await failureOf(again)).toMatchObject({ code: 'CONFLICT' });
    transaction.rollback();
  });

  it('have one moment at which all was so, also where nothing is written and a lock was lost', async () => {
    await write(one, { a1: '1', b1: '1' });
    const options = { lock: 'exclusive' } as const;
    const requests = async (keys: string[], between = async () => {}): Promise<unknown> => {
      const transaction = one.database.begin();
      const [first, ...rest] = keys.map(bytes);
      if (first !== undefined) await kit.run(transaction.get(first, options));
      await between();
      for (const key of rest) await kit.run(transaction.get(key, options));
      const length = kit.cluster.log.length;
      await kit.run(transaction.commit());
      return kindsSince(length);
    };
    const loseAndWrite = async (): Promise<void> => {
      kit.cluster.locks.loseAll();
      await write(two, { a1: '2', b1: '2' });
    };
    expect(await failureOf(requests(['a1', 'b1'], loseAndWrite))).toMatchObject({
      code: 'CONFLICT',
    });
    // The second version is the newer one now; of one key alone there is nothing to ask.
    await write(two, { b1: '3' });
    expect(await requests(['a1', 'b1'])).toEqual(['refresh']);
    expect(await requests(['a1'])).toEqual([]);
  });

  it('are taken back by savepoints and restarts', async () => {
    await write(one, { a1: '1' });
    const transaction = one.database.begin();
    transaction.put(bytes('a1'), bytes('2'));
    const savepoint = transaction.savepoint();
    transaction.put(bytes('b1'), bytes('no'));
    transaction.rollbackTo(savepoint);
    transaction.beginStatement();
    expect(transaction.restartable).toBe(true);
    transaction.put(bytes('c1'), bytes('no'));
    transaction.restartStatement();
    await kit.run(transaction.commit());
    expect(await read(two, 'a1', 'b1', 'c1')).toEqual(['2', undefined, undefined]);
  });
});
