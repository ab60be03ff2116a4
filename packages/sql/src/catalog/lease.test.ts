/** Leases on the catalog's version: what rests on one, and that no change of the catalog passes it by. */
import { DbError, SeededPrng, silentLogger } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import type { KvDatabase, KvTransaction } from '../kv-transaction.ts';
import { catalogLease } from '../limits.ts';
import { MemoryKvDatabase } from '../testing/memory-kv-database.ts';
import { MemoryPeers } from '../testing/memory-peers.ts';
import type { Grant } from './grant.ts';
import { later } from './grant.ts';
import { catalogLeasesKey, catalogVersionKey, decodeCounter, encodeCounter } from './keys.ts';
import { CatalogLease } from './lease.ts';
import { decodeLeases, encodeLeases } from './lease-table.ts';

const { lastsMs, idleMs, offsetMs } = catalogLease;
const rowKey = Buffer.from([0x10, 1]);

let clock: ManualClock;
let database: MemoryKvDatabase;
let peers: MemoryPeers;
let seed: number;

beforeEach(async () => {
  clock = new ManualClock();
  database = new MemoryKvDatabase({ clock });
  peers = new MemoryPeers();
  seed = 0;
  await write(catalogVersionKey, encodeCounter(5));
});

/** @param over what the process has below it, where that is not the database itself */
function process(id: string, over: Partial<KvDatabase> = {}): CatalogLease {
  return new CatalogLease({
    database: {
      begin: (options) => database.begin(options),
      now: () => database.now(),
      discard: (span) => database.discard(span),
      ...over,
    },
    clock,
    prng: new SeededPrng(++seed),
    logger: silentLogger,
    peers: peers.of(id),
    onVersion: () => {},
  });
}

async function write(key: Uint8Array, value: Uint8Array): Promise<void> {
  const transaction = database.begin();
  transaction.put(key, value);
  await transaction.commit();
}

/** What is under way comes to rest, while no time passes. */
async function rest(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 50) {
    clock.advance(Math.min(50, left));
    await rest();
  }
}

async function grantOf(lease: CatalogLease): Promise<Grant> {
  lease.current();
  await rest();
  const grant = lease.current();
  if (grant === undefined) throw new Error('there is a lease');
  return grant;
}

/** A change of the catalog. `state` says how far it is. */
function change(lease: CatalogLease, transaction: KvTransaction = database.begin()) {
  const progress = { state: 'waiting', error: undefined as unknown };
  const run = async (): Promise<void> => {
    const clearing = await lease.clear(transaction);
    progress.state = 'cleared';
    try {
      const version = decodeCounter(await transaction.get(catalogVersionKey)) + 1;
      transaction.put(catalogVersionKey, encodeCounter(version));
      await transaction.commit();
      progress.state = 'made';
      clearing.done(version);
    } catch (error) {
      clearing.end();
      throw error;
    }
  };
  run().catch((error: unknown) => {
    progress.state = 'failed';
    progress.error = error;
  });
  return progress;
}

describe('a lease', () => {
  it('says the version without a read for as long as statements ask', async () => {
    const lease = process('a');
    await grantOf(lease);
    for (let i = 0; i < 20; i++) {
      await pass(500);
      expect(lease.current()?.version).toBe(5);
    }
  });

  it('runs out when nobody asks, and costs nothing more', async () => {
    const lease = process('a');
    await grantOf(lease);
    await pass(idleMs + lastsMs + 1000);
    const { commit } = database.counts;
    await pass(5000);
    expect(database.counts.commit).toBe(commit);
    expect(lease.current()).toBeUndefined();
  });

  it('is renewed for as long as a statement takes that rests on it', async () => {
    const lease = process('a');
    const grant = await grantOf(lease);
    grant.use();
    await pass(3 * idleMs);
    expect(grant.timestamp).toBeGreaterThan(database.now());
    grant.unuse();
    await pass(idleMs + lastsMs + 1000);
    expect(grant.timestamp).toBeLessThan(database.now());
  });

  it('is had by many processes at once', async () => {
    const all = ['a', 'b', 'c', 'd'].map((id) => process(id));
    for (let i = 0; i < 40; i++) {
      for (const lease of all) lease.current();
      await pass(50);
    }
    expect(all.map((lease) => lease.current()?.version)).toEqual([5, 5, 5, 5]);
  });

  it('is not had where the database cannot be reached, and is had again afterwards', async () => {
    let reached = true;
    const begin: KvDatabase['begin'] = (options) => {
      if (!reached) throw new DbError('UNAVAILABLE', 'nobody answers');
      return database.begin(options);
    };
    const lease = process('a', { begin });
    await grantOf(lease);
    reached = false;
    for (let i = 0; i < lastsMs / 100 + 1; i++) {
      lease.current();
      await pass(100);
    }
    expect(lease.current()).toBeUndefined();
    reached = true;
    await pass(100);
    expect((await grantOf(lease)).version).toBe(5);
  });

  it('refuses a row that it does not know', () => {
    expect(() => decodeLeases(Buffer.from('{'))).toThrow('cannot be read');
    expect(() => decodeLeases(Buffer.from('{"format":2,"leases":[]}'))).toThrow('no known format');
    expect(() => decodeLeases(Buffer.from('{"format":1,"leases":[{"id":"a"}]}'))).toThrow(
      'no known format',
    );
  });
});

describe('a change of the catalog', () => {
  it('waits for nobody where a process is alone, and leaves it with a lease on the new version', async () => {
    const lease = process('a');
    await grantOf(lease);
    const made = change(lease);
    await rest();
    expect(made.state).toBe('made');
    expect(lease.current()?.version).toBe(6);
  });

  it('is made at once where all who have leases can be asked', async () => {
    const [a, b, c] = [process('a'), process('b'), process('c')];
    const before: Grant[] = [];
    for (const lease of [a, b, c]) before.push(await grantOf(lease));
    const made = change(b);
    await rest();
    expect(made.state).toBe('made');
    const now = database.now();
    expect(before.every(({ timestamp }) => timestamp < now)).toBe(true);
    await pass(200);
    for (const lease of [a, b, c]) expect((await grantOf(lease)).version).toBe(6);
  });

  it('waits for one who cannot be asked until his lease is over, and clocks that are behind with it', async () => {
    const [a, b] = [process('a'), process('b')];
    const grant = await grantOf(b);
    peers.cut.add('b');
    const made = change(a);
    // All the while nobody renews it.
    while (database.now() <= later(grant.timestamp, offsetMs - 60)) await pass(10);
    expect(made.state).toBe('waiting');
    expect(b.current()).toBeUndefined();
    await pass(300);
    expect(made.state).toBe('made');
  });

  it('waits no longer for a process that has died than for its lease', async () => {
    await write(
      catalogLeasesKey,
      encodeLeases([{ id: 'dead', until: later(database.now(), lastsMs) }]),
    );
    const made = change(process('a'));
    await pass(lastsMs);
    expect(made.state).toBe('waiting');
    await pass(offsetMs + catalogLease.askMs + 100);
    expect(made.state).toBe('made');
  });

  it('does not wait for a process that was closed', async () => {
    const b = process('b');
    await grantOf(b);
    await b.close();
    const made = change(process('a'));
    await rest();
    expect(made.state).toBe('made');
  });

  it('asks again where the question was lost', async () => {
    const [a, b] = [process('a'), process('b')];
    await grantOf(b);
    peers.cut.add('b');
    const made = change(a);
    await pass(100);
    peers.cut.delete('b');
    await pass(catalogLease.askMs);
    expect(made.state).toBe('made');
  });

  it('comes after the commits that are under way, whoever asks for them and how often', async () => {
    const [a, b] = [process('a'), process('b')];
    const grant = await grantOf(b);
    grant.enter();
    const made = change(a);
    await pass(3 * catalogLease.askMs);
    expect(made.state).toBe('waiting');
    grant.leave(false);
    await rest();
    expect(made.state).toBe('made');
  });

  it('comes after the time of a commit whose outcome is not known', async () => {
    const [a, b] = [process('a'), process('b')];
    const grant = await grantOf(b);
    grant.enter();
    const promised = grant.timestamp;
    grant.leave(true);
    const made = change(a);
    await pass(lastsMs - 500);
    expect(made.state).toBe('waiting');
    while (made.state === 'waiting') await pass(50);
    expect(made.state).toBe('made');
    expect(database.now()).toBeGreaterThan(promised);
  });

  it('is refused where somebody took a lease although the row was locked', async () => {
    const made = change(process('a'));
    const until = later(database.now(), lastsMs);
    let lost = false;
    database.onOperation = ({ kind }) => {
      if (kind !== 'commit' || lost) return;
      lost = true;
      // As after a change of leaseholders, which forgets locks.
      const value = encodeLeases([{ id: 'b', until }]);
      database.apply([{ key: catalogLeasesKey, value, mustBeAbsent: false }], []);
    };
    await rest();
    expect(made.state).toBe('failed');
    expect(made.error).toMatchObject({ code: 'CONFLICT' });
  });

  it('is not overtaken by a lease that was asked for before it', async () => {
    const [a, b] = [process('a'), process('b')];
    let release: (() => void) | undefined;
    database.onOperation = ({ kind }) => {
      if (kind !== 'committed' || release !== undefined) return;
      // The lease is in the row, but its owner has not heard of that yet.
      return new Promise((resolve) => {
        release = resolve;
      });
    };
    b.current();
    await rest();
    expect(release).toBeDefined();
    const made = change(a);
    await rest();
    expect(made.state).toBe('made');
    release?.();
    await rest();
    // What it hears now is that it had a lease on the version before.
    expect(b.current()?.version).not.toBe(5);
  });

  it('is one of two that a process makes at a time: neither is passed by', async () => {
    const a = process('a');
    await grantOf(a);
    const both = [change(a), change(a)];
    await rest();
    const version = decodeCounter(await database.begin().get(catalogVersionKey));
    expect(version).toBe(5 + both.filter(({ state }) => state === 'made').length);
    expect((await grantOf(a)).version).toBe(version);
  });

  it('that fails gives the lease back to whoever asks for it', async () => {
    const [a, b] = [process('a'), process('b')];
    await grantOf(b);
    const transaction = database.begin();
    const clearing = await a.clear(transaction);
    transaction.rollback();
    clearing.end();
    await pass(100);
    expect((await grantOf(a)).version).toBe(5);
    expect((await grantOf(b)).version).toBe(5);
  });
});

describe('what rests on a lease', () => {
  /** A transaction that has read under the lease, and is about to write. */
  async function begun(grant: Grant): Promise<KvTransaction> {
    const transaction = database.begin();
    transaction.bound = grant;
    await transaction.get(rowKey);
    transaction.put(rowKey, Buffer.from('x'));
    return transaction;
  }

  it('goes on when its process was stopped past the end of it, and nothing was changed', async () => {
    const transaction = await begun(await grantOf(process('b')));
    clock.advance(2.5 * lastsMs);
    expect(await transaction.get(rowKey)).toEqual(Buffer.from('x'));
    await transaction.commit();
    expect(database.read(rowKey).value).toEqual(Buffer.from('x'));
  });

  it('goes on where others renew theirs at the same moment', async () => {
    const transactions: KvTransaction[] = [];
    for (const id of ['a', 'b', 'c', 'd'])
      transactions.push(await begun(await grantOf(process(id))));
    clock.advance(2.5 * lastsMs);
    const reads = Promise.all(transactions.map((one) => one.get(rowKey)));
    await pass(1000);
    expect((await reads).length).toBe(4);
    for (const one of transactions) one.rollback();
  });

  it('is refused when its process was stopped past the end of it, and the catalog was changed', async () => {
    const [a, b] = [process('a'), process('b')];
    const [reader, writer] = [await begun(await grantOf(b)), await begun(await grantOf(b))];
    peers.cut.add('b');
    clock.advance(2.5 * lastsMs);
    const made = change(a);
    await pass(200);
    expect(made.state).toBe('made');
    await expect(reader.get(rowKey)).rejects.toMatchObject({ code: 'CONFLICT' });
    await expect(writer.commit()).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  it('is refused where the lease cannot be renewed', async () => {
    let reached = true;
    const begin: KvDatabase['begin'] = (options) => {
      if (!reached) throw new DbError('UNAVAILABLE', 'nobody answers');
      return database.begin(options);
    };
    const transaction = await begun(await grantOf(process('b', { begin })));
    reached = false;
    clock.advance(lastsMs + 1);
    await expect(transaction.commit()).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  it('does not wait for a renewal while a change that waits for it is being made', async () => {
    const [a, b] = [process('a'), process('b')];
    const transaction = await begun(await grantOf(b));
    clock.advance(2.5 * lastsMs);
    const changing = database.begin();
    // It has the row, whose lock a renewal waits for.
    const clearing = await a.clear(changing);
    let end: unknown;
    const reading = transaction.get(rowKey).catch((error: unknown) => {
      end = error;
    });
    await rest();
    expect(end).toBeUndefined();
    peers.of('a').send('b', 'catalog-lease', Buffer.from('give up\ntoken'));
    await rest();
    expect(end).toMatchObject({ code: 'CONFLICT' });
    changing.rollback();
    clearing.end();
    await reading;
  });

  it('is refused once it was given up', async () => {
    const [a, b] = [process('a'), process('b')];
    const grant = await grantOf(b);
    const [reader, writer] = [await begun(grant), await begun(grant)];
    const made = change(a);
    await rest();
    expect(made.state).toBe('made');
    await expect(reader.get(rowKey)).rejects.toMatchObject({ code: 'CONFLICT' });
    await expect(writer.commit()).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  it('is refused after its end also where the clock of the process is behind', async () => {
    let behind = 0;
    const lease = process('b', { now: () => later(database.now(), -behind) });
    const grant = await grantOf(lease);
    behind = 10_000;
    clock.advance(lastsMs + 1);
    // It does not know better.
    expect(lease.current()).toBe(grant);
    const transaction = database.begin();
    transaction.bound = grant;
    await expect(transaction.get(rowKey)).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  it('ends early where the wall clock jumps ahead', async () => {
    const lease = process('b');
    await grantOf(lease);
    clock.stepWall(60_000);
    expect(lease.current()).toBeUndefined();
    expect((await grantOf(lease)).version).toBe(5);
  });

  it('goes on where the wall clock is set back', async () => {
    const [a, b] = [process('a'), process('b')];
    await grantOf(b);
    clock.stepWall(-60_000);
    expect(b.current()?.version).toBe(5);
    const made = change(a);
    await rest();
    expect(made.state).toBe('made');
    expect(b.current()).toBeUndefined();
  });
});
