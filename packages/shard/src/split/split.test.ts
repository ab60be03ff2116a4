/**
 * Ranges are cut in two on real stores: memory for network, disks and engines, a clock moved by hand. Whatever happens in
 * between, both halves hold what they held before, on the same stores, and no key is in two ranges or in none.
 */
import {
  compareBytes,
  keyMax,
  present,
  probeCounts,
  type RangeId,
  resetProbes,
  type StoreId,
  timestampSpan,
  toStoreId,
} from '@flotilla/base';
import { openWriteAheadLog } from '@flotilla/raft';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { flotilla } from '../../gen/kv.js';
import { kv } from '../protocol/index.ts';
import { checkDescriptor, type RangeDescriptor } from '../range-descriptor.ts';
import { contentsOf, inspectStore } from '../testing/inspect.ts';
import { rangesOn } from '../testing/ranges-on.ts';
import { StoreCluster, type StoreClusterOptions } from '../testing/store-cluster.ts';
import type { TestClient } from '../testing/test-client.ts';

const stores = [1, 2, 3].map(toStoreId);
const bounds = [Buffer.alloc(0), Buffer.of(0x03), Buffer.from(keyMax)];
const ranges = rangesOn(stores, bounds);
const data = present(ranges[1], 'data range');

const at = (n: number): Buffer => Buffer.of(0x08, n);
const middle = at(0x50);
const id16 = Buffer.alloc(16, 7);

let cluster = new StoreCluster({ seed: 0 });
beforeEach(resetProbes);
afterEach(async () => {
  await cluster.stopAll();
});

function probes(name: Parameters<ReturnType<typeof probeCounts>['get']>[0]): number {
  return probeCounts().get(name) ?? 0;
}

async function started(options: Partial<StoreClusterOptions> = {}): Promise<TestClient> {
  cluster = new StoreCluster({ seed: 1, ranges, ...options });
  await cluster.start();
  return cluster.client();
}

/** Cuts the range of `key` there. @returns the halves */
async function split(
  client: TestClient,
  key: Buffer,
): Promise<{ left: RangeDescriptor; right: RangeDescriptor }> {
  const answer = await cluster.until(
    client.ask(client.rangeOf(key), { split: { splitKey: key } }, 20_000),
  );
  expect(answer?.split, JSON.stringify(answer)).toMatchObject({ ok: true, message: '' });
  const [left, right] = [answer?.split?.left, answer?.split?.right].map((each) => {
    const checked = checkDescriptor(each ?? {});
    return present(checked.ok ? checked.descriptor : undefined, 'a good descriptor');
  });
  const halves = { left: present(left, 'left'), right: present(right, 'right') };
  client.onSplit(halves.left, halves.right);
  return halves;
}

async function put(client: TestClient, key: Buffer, value: string): Promise<void> {
  const wrote = await cluster.until(client.put(key, value));
  expect(wrote?.write?.applied, `put ${value}: ${JSON.stringify(wrote)}`).toBe(true);
}

async function readAt(client: TestClient, key: Buffer): Promise<string | undefined> {
  return (await cluster.until(client.get(key)))?.value;
}

/** The descriptors that the stores have applied, in key order, the same everywhere; they tile the key space. */
async function expectTiling(count: number): Promise<readonly RangeDescriptor[]> {
  await cluster.run(3000);
  const running = cluster.storeIds.filter((storeId) => cluster.isRunning(storeId));
  const found = new Map<number, RangeDescriptor>();
  for (const storeId of running)
    for (const { rangeId, raft } of inspectStore(cluster.store(storeId))) {
      const contents = contentsOf(cluster.store(storeId), cluster.engine(storeId), rangeId);
      expect(contents?.strangers, `s${storeId} r${rangeId} strangers`).toBe(0);
      const { descriptor } = JSON.parse(contents?.text ?? '{}', revive) as {
        descriptor: RangeDescriptor;
      };
      expect(raft.leader, `s${storeId} r${rangeId} has a leader`).toBeDefined();
      const known = found.get(rangeId);
      if (known !== undefined) expect(descriptor).toEqual(known);
      found.set(rangeId, descriptor);
    }
  const sorted = [...found.values()].sort((a, b) => compareBytes(a.startKey, b.startKey));
  expect(sorted.length).toBe(count);
  let end: Uint8Array = Buffer.alloc(0);
  for (const { startKey, endKey } of sorted) {
    expect(Buffer.from(startKey)).toEqual(Buffer.from(end));
    end = endKey;
  }
  expect(Buffer.from(end)).toEqual(Buffer.from(keyMax));
  expect(cluster.fatal.map(({ error }) => error)).toEqual([]);
  return sorted;
}

function revive(_name: string, value: unknown): unknown {
  const bytes = value as { type?: string; data?: number[] } | null;
  return bytes?.type === 'Buffer' ? Buffer.from(bytes.data ?? []) : value;
}

function leaderOf(rangeId: number): StoreId | undefined {
  return cluster.storeIds.find(
    (storeId) =>
      cluster.isRunning(storeId) &&
      inspectStore(cluster.store(storeId)).some(
        (view) => view.rangeId === rangeId && view.raft.role === 'leader',
      ),
  );
}

/** What the log of a store that is down says of a range. */
async function termOnDisk(storeId: StoreId, rangeId: RangeId): Promise<number> {
  const { clock, prng } = cluster;
  const disk = cluster.disk(storeId).session();
  const opening = openWriteAheadLog({ disk, directory: 'data/wal', clock, prng });
  const log = await cluster.until(opening);
  const { currentTerm } = log.group(rangeId).hardState();
  await cluster.until(log.close());
  return currentTerm;
}

it('a read that waits for a quorum while its range is cut looks at the bounds again', async () => {
  const client = await started();
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
  const client = await started();
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

describe('a split', () => {
  /** One store has missed it, which is up again, and another is lost since, with what only the two knew. */
  async function missedByOneLostByAnother(
    client: TestClient,
  ): Promise<{ late: StoreId; left: RangeDescriptor; right: RangeDescriptor }> {
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
    const client = await started({ driverLimits: { retainedLogBytesMax: 0 } });
    const { left } = await missedByOneLostByAnother(client);
    await cluster.run(8000);
    for (let i = 1; i < 8; i++) expect(await readAt(client, at(i * 32))).toBe(`w${i}`);
    await put(client, at(0xf0), 'goes on');
    expect(leaderOf(left.rangeId)).toBeDefined();
    expect(probes('votedWithoutState')).toBeGreaterThan(0);
  });

  it('has a right half whose voters keep their word also before they have its state', async () => {
    const client = await started({ driverLimits: { retainedLogBytesMax: 0 } });
    const { late, right } = await missedByOneLostByAnother(client);
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
    const client = await started();
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
    const client = await started();
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
    const client = await started();
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
    const client = await started();
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
    const client = await started();
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
    const client = await started({ stores: 4 });
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

describe('what was read and locked before a split', () => {
  const id = (n: number): Buffer => Buffer.alloc(16, n);

  it('is known to the leaseholder of the right half', async () => {
    const client = await started();
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
    const client = await started();
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

describe('a range that is too large', () => {
  it('is cut in the middle, again and again, until none is', async () => {
    const client = await started({ limits: { splitBytes: 20_000 } });
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
    const client = await started();
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

describe('a crash', () => {
  it('between a split and the next checkpoint makes the right half again from the left log', async () => {
    const client = await started();
    for (let i = 1; i < 16; i++) await put(client, at(i * 16), `v${i}`);
    await split(client, middle);
    for (let i = 1; i < 16; i++) await put(client, at(i * 16), `w${i}`);
    for (const storeId of cluster.storeIds) cluster.crash(storeId);
    for (const storeId of cluster.storeIds) await cluster.startStore(storeId);
    expect(probes('splitReplayedAtOpening')).toBe(3);
    for (let i = 1; i < 16; i++) expect(await readAt(client, at(i * 16))).toBe(`w${i}`);
    await expectTiling(3);
  });

  it('in the first checkpoint after a split finds the whole as it was, or both halves', async () => {
    for (let delay = 0; delay <= 12; delay++) {
      const client = await started({ seed: 7 + delay, syncDelayMs: [1, 3] });
      for (let i = 1; i < 8; i++) await put(client, at(i * 32), `v${i}`);
      await split(client, middle);
      // In that moment the disk has the row of the right half; the log still says where the whole was.
      void cluster.store(toStoreId(1)).checkpoint();
      await cluster.run(delay);
      cluster.crash(toStoreId(1));
      await cluster.startStore(toStoreId(1));
      for (let i = 1; i < 8; i++) expect(await readAt(client, at(i * 32))).toBe(`v${i}`);
      await expectTiling(3);
      await cluster.stopAll();
    }
  });

  it('of any store at any moment around a split loses nothing', async () => {
    // Every moment of the way through the log, every other ms, of the leader and of a follower.
    for (const victim of ['leader', 'follower'] as const)
      for (let delay = 0; delay <= 12; delay += 2) {
        const client = await started({ seed: 7 + delay, syncDelayMs: [1, 3] });
        for (let i = 1; i < 8; i++) await put(client, at(i * 32), `v${i}`);
        const leader = present(leaderOf(data.rangeId), 'leader');
        const storeId =
          victim === 'leader'
            ? leader
            : present(
                stores.find((s) => s !== leader),
                'follower',
              );
        const asked = client.ask(data, { split: { splitKey: middle } }, 500);
        await cluster.run(delay);
        cluster.crash(storeId);
        await cluster.run(2500);
        await asked;
        const cut = [...cluster.storeIds].some(
          (id) =>
            cluster.isRunning(id) &&
            inspectStore(cluster.store(id)).some((view) => view.rangeId === 3),
        );
        await cluster.startStore(storeId);
        const tiles = await expectTiling(cut ? 3 : 2);
        const fresh = cluster.client();
        if (cut) fresh.onSplit(present(tiles[1], 'left'), present(tiles[2], 'right'));
        for (let i = 1; i < 8; i++) expect(await readAt(fresh, at(i * 32))).toBe(`v${i}`);
        await put(fresh, at(0xf0), 'goes on');
        await cluster.stopAll();
      }
  });
});
