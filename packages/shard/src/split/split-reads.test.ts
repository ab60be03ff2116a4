/** Reads and locks on a range that is cut, or handed over, meanwhile. */
import { present, resetProbes, timestampSpan } from '@flotilla/base';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { flotilla } from '../../gen/kv.js';
import { kv } from '../protocol/index.ts';
import { at, data, id16, middle, probes, started, stopped, stores } from './split.test-kit.ts';

beforeEach(resetProbes);
afterEach(stopped);

it('a read that waits for a quorum while its range is cut looks at the bounds again', async () => {
  const { cluster, client, put, leaderOf } = await started();
  await put(client, at(0x60), 'x');
  const leader = present(leaderOf(data.rangeId), 'leader');
  // A jump of the wall clock makes every store distrust its leases for a while; answers to this one come late.
  cluster.clock.stepWall(500);
  for (const storeId of stores)
    if (storeId !== leader)
      cluster.network.setLinkFaults(`store-${storeId}`, `store-${leader}`, {
        delayMsMin: 60,
        delayMsMax: 60,
      });
  let isCut = false;
  const cut = client.ask(data, { split: { splitKey: middle } }, 20_000).then((answer) => {
    isCut = answer?.split?.ok === true;
  });
  const late: (number | null | undefined)[] = [];
  const reads: Promise<void>[] = [];
  // All are asked for while the range is whole, as far as anybody knows.
  while (!isCut) {
    const read = client.request(leader, {
      rangeId: data.rangeId,
      generation: data.generation,
      get: { keys: [at(0x60)] },
    });
    reads.push(
      read.then((answer) => {
        if (isCut) late.push(answer?.refusal?.reason);
      }),
    );
    await cluster.run(10);
  }
  await cluster.until(Promise.all([cut, ...reads]));
  expect(late.length).toBeGreaterThan(3);
  expect(new Set(late)).toEqual(new Set([kv.RefusalReason.RANGE_KEY_MISMATCH]));
});

it('a read of a snapshot whose range is cut while it looks at rows looks at the bounds again', async () => {
  const { cluster, client, put, split, leaderOf } = await started();
  await put(client, at(0x60), 'old');
  const snapshot = present((await cluster.until(client.get(at(0x60))))?.timestamp, 'a version');
  await put(client, at(0x60), 'new');
  const leader = present(leaderOf(data.rangeId), 'leader');
  const engine = cluster.engine(leader);
  const iterate = engine.iterate.bind(engine);
  let open: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  let waiting = 0;
  engine.iterate = (span, options) => {
    const iterator = iterate(span, options);
    const next = iterator.next.bind(iterator);
    iterator.next = async (rows) => {
      waiting++;
      await gate;
      return next(rows);
    };
    return iterator;
  };
  const transaction = { id: id16, readTimestamp: snapshot, uncertaintyLimit: snapshot };
  const { rangeId, generation } = data;
  const asked = [
    { get: { keys: [at(0x60)] } },
    { scan: { startKey: at(0x60), endKey: at(0x70) } },
  ].map((body) => client.request(leader, { rangeId, generation, transaction, ...body }));
  await cluster.run(20);
  expect(waiting).toBe(2);
  engine.iterate = iterate;
  await split(client, middle);
  open();
  const answers = await cluster.until(Promise.all(asked));
  expect(answers?.map((answer) => answer?.refusal?.reason)).toEqual([
    kv.RefusalReason.RANGE_KEY_MISMATCH,
    kv.RefusalReason.RANGE_KEY_MISMATCH,
  ]);
});

describe('what was read and locked before a split', () => {
  const id = (n: number): Buffer => Buffer.alloc(16, n);

  it('is known to the leaseholder of the right half', async () => {
    const { cluster, client, put, split, leaderOf } = await started();
    const key = at(0x90);
    await put(client, key, 'before');
    const ask = async (
      owner: number,
      body: { lock?: number; wait?: number },
      ahead = 0,
    ): Promise<flotilla.kv.Response> => {
      const transaction = {
        ...{ id: id(owner), coordinator: `c${owner}`, startedAt: owner },
        readTimestamp: ahead,
      };
      const request = { transaction, get: { keys: [key], ...body } };
      return present(await cluster.until(client.ask(client.rangeOf(key), request, 5000)), 'answer');
    };
    const { LOCK_EXCLUSIVE } = kv.LockMode;
    expect((await ask(1, { lock: LOCK_EXCLUSIVE })).get).toBeTruthy();
    const seen = (await ask(2, {})).get?.storeTimestamp ?? 0;
    // A snapshot a little ahead of every clock: what is written later must come above it.
    const ahead = seen + timestampSpan(150);
    expect((await ask(3, {}, ahead)).get).toBeTruthy();
    resetProbes();
    await split(client, middle);
    const nowait = { lock: LOCK_EXCLUSIVE, wait: kv.LockWait.LOCK_NOWAIT };
    const refused = await ask(4, nowait);
    expect(refused.refusal?.reason).toBe(kv.RefusalReason.LOCK_NOT_AVAILABLE);
    expect(probes('splitInheritsReads')).toBe(1);
    // Whoever is over lets go of it.
    const leader = present(leaderOf(client.rangeOf(key).rangeId), 'leader');
    await cluster.until(client.request(leader, { releaseLocks: { transactionIds: [id(1)] } }));
    expect((await ask(5, nowait)).get).toBeTruthy();
    await cluster.until(client.request(leader, { releaseLocks: { transactionIds: [id(5)] } }));
    const wrote = await cluster.until(client.put(key, 'after'));
    expect(wrote?.write?.timestamp).toBeGreaterThan(ahead);
  });
});

describe('a lease that is handed over', () => {
  it('is followed by writes at once, above what was read before', async () => {
    const { cluster, client, put, leaderOf } = await started();
    const key = at(0x10);
    await put(client, key, 'before');
    const { rangeId } = data;
    const leader = present(leaderOf(rangeId), 'leader');
    const target = present(
      stores.find((storeId) => storeId !== leader),
      'another store',
    );
    const read = { id: id16, coordinator: 'c', startedAt: 1, readTimestamp: 0 };
    const get = { keys: [key] };
    const seen = await cluster.until(client.ask(data, { transaction: read, get }, 5000));
    const ahead = (seen?.get?.storeTimestamp ?? 0) + timestampSpan(100);
    const again = { transaction: { ...read, readTimestamp: ahead }, get };
    expect((await cluster.until(client.ask(data, again, 5000)))?.get).toBeTruthy();
    resetProbes();
    const begunAt = cluster.clock.nowMs();
    const transferLease = { targetStoreId: target };
    await cluster.until(client.request(leader, { rangeId, generation: 1, transferLease }));
    const wrote = await cluster.until(client.put(key, 'after'));
    expect(wrote?.write?.timestamp).toBeGreaterThan(ahead);
    expect(cluster.clock.nowMs() - begunAt).toBeLessThan(120);
    expect(leaderOf(rangeId)).toBe(target);
    expect(probes('leaseHandedOver')).toBe(1);
  });
});
