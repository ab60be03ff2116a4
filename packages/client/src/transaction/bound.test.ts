/** Transactions that may read and commit up to a moment only, and messages between clients. */
import { timestampSpan } from '@flotilla/base';
import { afterEach, describe, expect, it } from 'vitest';
import { keyOf, StoreWorld } from './store-world.test-kit.ts';
import { bytes, failureOf, setUpTransactions, text } from './transaction.test-kit.ts';

describe('a bound', () => {
  it.each([
    ['one range', ['a1']],
    ['several ranges', ['a1', 'c1']],
  ])('keeps a commit to %s from being made after it', async (_name, keys) => {
    const kit = setUpTransactions();
    const { database } = kit.client('one');
    const writer = database.begin();
    for (const key of keys) writer.put(bytes(key), bytes('late'));
    writer.bound = { timestamp: database.now() + timestampSpan(20) };
    await kit.pass(50);
    expect((await failureOf(kit.run(writer.commit()))).code).toBe('CONFLICT');
    await kit.run(database.idle());
    const found = await kit.run(database.begin({ readOnly: true }).getMany(keys.map(bytes)));
    expect(found.map(text)).toEqual(keys.map(() => undefined));
    expect(kit.cluster.isClean).toBe(true);
  });

  it('counts as it is by then, where a commit was kept waiting', async () => {
    const kit = setUpTransactions();
    const { database } = kit.client('one');
    const holder = database.begin();
    await kit.run(holder.get(bytes('a1'), { lock: 'exclusive' }));
    const writer = database.begin();
    writer.put(bytes('a1'), bytes('new'));
    const bound = { timestamp: database.now() + timestampSpan(50) };
    writer.bound = bound;
    const committing = kit.run(writer.commit());
    await kit.pass(100);
    bound.timestamp = database.now() + timestampSpan(1000);
    holder.rollback();
    await committing;
    expect(text(await kit.run(database.begin().get(bytes('a1'))))).toBe('new');
  });

  it('keeps reads, locks and scans from seeing what came after it', async () => {
    const kit = setUpTransactions();
    const { database } = kit.client('one');
    const late = () => {
      const transaction = database.begin();
      transaction.bound = { timestamp: database.now() - timestampSpan(1) };
      return transaction;
    };
    const scanned = async (): Promise<void> => {
      for await (const _batch of late().scan({ startKey: bytes('a'), endKey: bytes('d') }));
    };
    expect((await failureOf(kit.run(late().get(bytes('a1'))))).code).toBe('CONFLICT');
    const locked = late();
    expect((await failureOf(kit.run(locked.get(bytes('a1'), { lock: 'share' })))).code).toBe(
      'CONFLICT',
    );
    locked.rollback();
    expect((await failureOf(kit.run(scanned()))).code).toBe('CONFLICT');
  });

  /** As one that can be had for as long as is needed: how often it was moved. */
  function movable(timestamp: number) {
    return {
      ...{ timestamp, moved: 0 },
      async reach(to: number): Promise<boolean> {
        this.moved++;
        this.timestamp = Math.max(this.timestamp, to + timestampSpan(20));
        return true;
      },
    };
  }

  it('moves for reads, locks and scans that were slow', async () => {
    const kit = setUpTransactions();
    const { database } = kit.client('one');
    const bound = movable(0);
    const late = () => {
      const transaction = database.begin();
      transaction.bound = bound;
      return transaction;
    };
    const scanned = async (): Promise<void> => {
      for await (const _batch of late().scan({ startKey: bytes('a'), endKey: bytes('d') }));
    };
    await kit.run(late().get(bytes('a1')));
    expect(bound.moved).toBe(1);
    await kit.pass(100);
    const locked = late();
    await kit.run(locked.get(bytes('a1'), { lock: 'share' }));
    locked.rollback();
    expect(bound.moved).toBe(2);
    await kit.pass(100);
    await kit.run(scanned());
    expect(bound.moved).toBe(3);
  });

  it.each([
    ['one range', ['a1']],
    ['several ranges', ['a1', 'c1']],
  ])('moves for a commit to %s that was slow', async (_name, keys) => {
    const kit = setUpTransactions();
    const { database } = kit.client('one');
    const writer = database.begin();
    for (const key of keys) writer.put(bytes(key), bytes('late'));
    const bound = movable(database.now());
    writer.bound = bound;
    await kit.pass(10_000);
    await kit.run(writer.commit());
    const found = await kit.run(database.begin({ readOnly: true }).getMany(keys.map(bytes)));
    expect([bound.moved > 0, found.map(text)]).toEqual([true, keys.map(() => 'late')]);
  });

  it('that never moves far enough ends a commit when its time is over', async () => {
    const kit = setUpTransactions();
    const { database } = kit.client('one');
    const writer = database.begin();
    writer.put(bytes('a1'), bytes('late'));
    let moved = 0;
    writer.bound = {
      timestamp: database.now() - timestampSpan(1),
      reach: async () => {
        moved++;
        return true;
      },
    };
    expect((await failureOf(kit.run(writer.commit()))).code).toBe('CONFLICT');
    expect(moved).toBeGreaterThan(10);
  });

  it('does not hinder what is older than it', async () => {
    const kit = setUpTransactions();
    const { database } = kit.client('one');
    const transaction = database.begin();
    transaction.bound = { timestamp: database.now() + timestampSpan(10_000) };
    expect(await kit.run(transaction.get(bytes('a1')))).toBeUndefined();
    transaction.put(bytes('a1'), bytes('x'));
    transaction.put(bytes('c1'), bytes('y'));
    await kit.run(transaction.commit());
    expect(text(await kit.run(database.begin().get(bytes('c1'))))).toBe('y');
  });
});

describe('a lock beside the snapshot', () => {
  it('shows the newest value, leaves the snapshot where it is, and is checked at commit', async () => {
    const kit = setUpTransactions();
    const { database } = kit.client('one');
    const write = async (key: string, value: string): Promise<void> => {
      const transaction = database.begin();
      transaction.put(bytes(key), bytes(value));
      await kit.run(transaction.commit());
    };
    await write('a1', 'old');
    const transaction = database.begin({ isolation: 'repeatable read' });
    expect(text(await kit.run(transaction.get(bytes('a1'))))).toBe('old');
    await kit.pass(10);
    await write('a1', 'new');
    await write('b1', 'newest');
    const options = { lock: 'exclusive', beside: true } as const;
    expect(text(await kit.run(transaction.get(bytes('b1'), options)))).toBe('newest');
    expect(text(await kit.run(transaction.get(bytes('a1'))))).toBe('old');
    transaction.put(bytes('b1'), bytes('mine'));
    await kit.run(transaction.commit());
    expect(text(await kit.run(database.begin().get(bytes('b1'))))).toBe('mine');
  });
});

describe('with stores', () => {
  let world: StoreWorld | undefined;

  afterEach(async () => {
    await world?.end();
    world = undefined;
  });

  it('a leaseholder refuses a write that comes after its bound, and clients hear each other', async () => {
    world = await StoreWorld.start(5);
    const [one, two] = [world.client('one'), world.client('two')];
    const key = keyOf(1);
    const writer = one.database.begin();
    writer.put(key, bytes('late'));
    writer.bound = { timestamp: one.database.now() + timestampSpan(5) };
    await world.run(world.sleep(50));
    expect((await failureOf(world.run(writer.commit()))).code).toBe('CONFLICT');
    const timely = one.database.begin();
    timely.put(key, bytes('timely'));
    timely.bound = { timestamp: one.database.now() + timestampSpan(5000) };
    await world.run(timely.commit());
    expect(text(await world.run(two.database.begin().get(key)))).toBe('timely');

    const heard: string[] = [];
    const unlisten = two.router.peers.listen('news', (from, payload) =>
      heard.push(`${from === one.router.peers.id} ${text(payload)}`),
    );
    one.router.peers.send(two.router.peers.id, 'news', bytes('hello'));
    one.router.peers.send(two.router.peers.id, 'other', bytes('nobody listens'));
    await world.run(world.sleep(50));
    unlisten();
    one.router.peers.send(two.router.peers.id, 'news', bytes('again'));
    await world.run(world.sleep(50));
    expect(heard).toEqual(['true hello']);
  });
});
