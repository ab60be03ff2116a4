/** A range is cut in two: by hand, by size, repeated, refused, and missed by some of its stores. */
import { present, resetProbes, type StoreId, toStoreId } from '@flotilla/base';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { kv } from '../protocol/index.ts';
import type { RangeDescriptor } from '../range-descriptor.ts';
import { at, data, type Kit, middle, probes, started, stopped, stores } from './split.test-kit.ts';

beforeEach(resetProbes);
afterEach(stopped);

describe('a split', () => {
  /** One store has missed it, which is up again, and another is lost since, with what only the two knew. */
  async function missedByOneLostByAnother({
    cluster,
    client,
    put,
    split,
    leaderOf,
  }: Kit): Promise<{ late: StoreId; left: RangeDescriptor; right: RangeDescriptor }> {
    for (let i = 1; i < 8; i++) await put(client, at(i * 32), `v${i}`);
    const [late, lost] = stores.filter((storeId) => storeId !== leaderOf(data.rangeId));
    cluster.crash(present(late, 'a follower'));
    const halves = await split(client, middle);
    for (let i = 1; i < 8; i++) await put(client, at(i * 32), `w${i}`);
    for (const storeId of cluster.storeIds)
      if (cluster.isRunning(storeId)) await cluster.until(cluster.store(storeId).checkpoint());
    cluster.crash(present(lost, 'another follower'));
    // The leaders find themselves alone and step down.
    await cluster.run(3000);
    await cluster.startStore(present(late, 'the store that was away'));
    return { late: present(late, 'the store that was away'), ...halves };
  }

  it('is survived by its right half when one store has missed it and another is lost', async () => {
    const kit = await started({ driverLimits: { retainedLogBytesMax: 0 } });
    const { client, cluster, put, readAt, leaderOf } = kit;
    const { left } = await missedByOneLostByAnother(kit);
    await cluster.run(8000);
    for (let i = 1; i < 8; i++) expect(await readAt(client, at(i * 32))).toBe(`w${i}`);
    await put(client, at(0xf0), 'goes on');
    expect(leaderOf(left.rangeId)).toBeDefined();
    expect(probes('votedWithoutState')).toBeGreaterThan(0);
  });

  it('has a right half whose voters keep their word also before they have its state', async () => {
    const kit = await started({ driverLimits: { retainedLogBytesMax: 0 } });
    const { cluster, termOnDisk } = kit;
    const { late, right } = await missedByOneLostByAnother(kit);
    // Between its vote and the state that follows there is some time.
    const slow = { delayMsMin: 20, delayMsMax: 20 };
    for (const storeId of stores)
      cluster.network.setLinkFaults(`store-${storeId}`, `store-${late}`, slow);
    for (let waited = 0; probes('votedWithoutState') === 0 && waited < 8000; waited++)
      await cluster.run(1);
    for (const storeId of stores) if (cluster.isRunning(storeId)) cluster.crash(storeId);
    const voted = await termOnDisk(late, right.rangeId);
    expect(voted).toBeGreaterThan(0);
    // Its process comes and goes, and nobody has spoken to it.
    await cluster.startStore(late);
    cluster.crash(late);
    expect(await termOnDisk(late, right.rangeId)).toBe(voted);
  });

  it('cuts a range in two that go on with what they held', async () => {
    const { client, put, split, readAt, expectTiling } = await started();
    await put(client, at(0x10), 'left');
    await put(client, middle, 'at the cut');
    await put(client, at(0x90), 'right');
    const { left, right } = await split(client, middle);
    expect(left).toMatchObject({ rangeId: 2, generation: 2, boundsGeneration: 2 });
    expect(right).toMatchObject({ rangeId: 3, generation: 2, boundsGeneration: 2 });
    expect(Buffer.from(left.endKey)).toEqual(middle);
    for (const [key, value] of [
      [at(0x10), 'left'],
      [middle, 'at the cut'],
      [at(0x90), 'right'],
    ] as const)
      expect(await readAt(client, key)).toBe(value);
    await put(client, at(0x11), 'left again');
    await put(client, at(0x91), 'right again');
    expect(await readAt(client, at(0x91))).toBe('right again');
    await expectTiling(3);
  });

  it('leaves the right half with a leader at once, where the left one has its own', async () => {
    const { cluster, client, put, split, leaderOf } = await started();
    await put(client, at(0x10), 'x');
    // Stores that have just started wait: they may have promised something in an earlier life.
    await cluster.run(2000);
    const leader = leaderOf(data.rangeId);
    const before = cluster.clock.nowMs();
    const { right } = await split(client, middle);
    while (leaderOf(right.rangeId) === undefined) await cluster.run(5);
    expect(leaderOf(right.rangeId)).toBe(leader);
    expect(cluster.clock.nowMs() - before).toBeLessThan(200);
  });

  it('tells those who know only the old bounds both halves', async () => {
    const { cluster, client, put, split, leaderOf } = await started();
    await put(client, at(0x10), 'x');
    const { left, right } = await split(client, middle);
    const leader = present(leaderOf(data.rangeId), 'leader');
    const get = { rangeId: data.rangeId, generation: 1, get: { keys: [at(0x90)] } };
    const answer = await cluster.until(client.request(leader, get));
    expect(answer?.refusal?.reason).toBe(kv.RefusalReason.RANGE_KEY_MISMATCH);
    expect(answer?.refusal?.ranges?.map(({ descriptor }) => descriptor?.rangeId)).toEqual([
      left.rangeId,
      right.rangeId,
    ]);
  });

  it('can be repeated on both sides, and outlives clean and unclean stops', async () => {
    const { cluster, client, put, split, readAt, expectTiling } = await started();
    for (let i = 1; i < 16; i++) await put(client, at(i * 16), `v${i}`);
    await split(client, at(0x80));
    await split(client, at(0x40));
    await split(client, at(0xc0));
    await put(client, at(0xc1), 'late');
    await expectTiling(5);
    for (const storeId of cluster.storeIds) cluster.crash(storeId);
    for (const storeId of cluster.storeIds) await cluster.startStore(storeId);
    for (let i = 1; i < 16; i++) expect(await readAt(client, at(i * 16))).toBe(`v${i}`);
    expect(await readAt(client, at(0xc1))).toBe('late');
    await expectTiling(5);
    for (const storeId of cluster.storeIds) await cluster.stop(storeId);
    for (const storeId of cluster.storeIds) await cluster.startStore(storeId);
    expect(await readAt(client, at(0xc1))).toBe('late');
    await expectTiling(5);
  });

  it('takes nothing twice: a write before it is known by its number on both sides', async () => {
    const { cluster, client, put, split, readAt } = await started();
    await put(client, at(0x90), 'first');
    const session = { sessionId: 0 };
    const nonce = Buffer.from('mine');
    const registered = await cluster.until(client.ask(data, { registerSession: { nonce } }, 5000));
    session.sessionId = registered?.registerSession?.sessionId ?? 0;
    const write = {
      ...session,
      serial: 1,
      ackedUpTo: 0,
      mutations: [{ key: at(0x90), value: Buffer.from('second') }],
    };
    const first = await cluster.until(client.ask(data, { write }, 5000));
    const { left, right } = await split(client, middle);
    await put(client, at(0x90), 'third');
    for (const half of [left, right]) {
      const again = await cluster.until(client.ask(half, { write }, 5000));
      expect(again?.write?.timestamp).toBe(first?.write?.timestamp);
    }
    expect(await readAt(client, at(0x90))).toBe('third');
  });

  it('is refused at a bound, outside, and while members change', async () => {
    const { cluster, client, put, split, expectTiling } = await started({ stores: 4 });
    await put(client, at(0x10), 'x');
    const ask = (splitKey: Buffer) =>
      cluster.until(client.ask(client.rangeOf(middle), { split: { splitKey } }, 5000));
    expect((await ask(Buffer.from(data.startKey)))?.split).toMatchObject({ ok: true });
    expect((await ask(Buffer.of(0xff, 0xff)))?.refusal?.reason).toBe(
      kv.RefusalReason.RANGE_KEY_MISMATCH,
    );
    expect((await ask(Buffer.of(0x02, 0x03)))?.refusal).toMatchObject({
      reason: kv.RefusalReason.INVALID,
      message: expect.stringContaining('the root of the meta index stays in one range'),
    });
    expect((await ask(Buffer.alloc(0)))?.refusal?.reason).toBe(kv.RefusalReason.INVALID);
    const moving = client.ask(data, { changeReplicas: { add: [4], remove: [1] } }, 30_000);
    await cluster.run(20);
    expect((await ask(middle))?.split).toMatchObject({
      ok: false,
      message: 'the members of the range are changing',
    });
    expect((await cluster.until(moving))?.changeReplicas?.ok).toBe(true);
    const { right } = await split(client, middle);
    expect(right.replicas.map(({ storeId }) => storeId)).toEqual([2, 3, 4]);
    await expectTiling(3);
  });
});

describe('a range that is too large', () => {
  it('is cut in the middle, again and again, until none is', async () => {
    const { cluster, client, put, expectTiling, leaderOf } = await started({
      limits: { splitBytes: 20_000 },
    });
    for (let i = 0; i < 100; i++) await put(client, at(i), 'x'.repeat(1000));
    await cluster.run(20_000);
    expect(probes('splitBySize')).toBeGreaterThan(4);
    const tiles = await expectTiling(2 + probes('splitBySize'));
    const fresh = cluster.client();
    for (const { rangeId, generation, startKey, endKey } of tiles.slice(1)) {
      const leader = present(leaderOf(rangeId), 'leader');
      const scan = { startKey, endKey };
      const page = await cluster.until(fresh.request(leader, { rangeId, generation, scan }));
      const rows = page?.scan?.rows ?? [];
      expect(rows.length, `r${rangeId}`).toBeLessThanOrEqual(20);
      expect(rows.length, `r${rangeId}`).toBeGreaterThan(2);
    }
  });
});

describe('the bytes of a half', () => {
  it('are a guess at first, and never so few that a checkpoint cannot be read again', async () => {
    const { cluster, client, put, split, expectTiling } = await started();
    for (let i = 1; i < 5; i++) await put(client, at(i * 16), 'x'.repeat(1000));
    await split(client, middle);
    for (let i = 1; i < 5; i++) {
      const mutations = [{ key: at(i * 16), isDelete: true }];
      expect((await cluster.until(client.write({ mutations })))?.write?.applied).toBe(true);
    }
    const store = toStoreId(1);
    await cluster.until(cluster.store(store).checkpoint(), 20_000);
    cluster.crash(store);
    await cluster.startStore(store);
    await expectTiling(3);
  });
});
