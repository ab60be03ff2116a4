/**
 * Replicas come, move and go on real stores: memory for network, disks and engines, a clock moved by hand. Whatever
 * happens in between, every range ends with the members asked for, equal states, and nothing left behind.
 */
import {
  present,
  probeCounts,
  resetProbes,
  type StoreId,
  toRangeId,
  toStoreId,
} from '@flotilla/base';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RangeDescriptor } from '../range-descriptor.ts';
import { ownerRowKey } from '../state/storage-keys.ts';
import { contentsOf, inspectStore, uninitializedOf } from '../testing/inspect.ts';
import { rangesOn } from '../testing/ranges-on.ts';
import { StoreCluster, type StoreClusterOptions } from '../testing/store-cluster.ts';
import type { TestClient } from '../testing/test-client.ts';

const [one, two, three, four, five] = [1, 2, 3, 4, 5].map(toStoreId) as [
  StoreId,
  StoreId,
  StoreId,
  StoreId,
  StoreId,
];

const bounds = [[], [0x03], [0x08, 0x80], [0xff, 0xff]].map((bytes) => Buffer.from(bytes));
const ranges = rangesOn([one, two, three], bounds);
/** In range 2. */
const key = Buffer.of(0x08, 0x10);
const moved = toRangeId(2);

let cluster = new StoreCluster({ seed: 0 });
beforeEach(resetProbes);
afterEach(async () => {
  await cluster.stopAll();
});

function probes(name: Parameters<ReturnType<typeof probeCounts>['get']>[0]): number {
  return probeCounts().get(name) ?? 0;
}

async function started(options: Partial<StoreClusterOptions> = {}): Promise<TestClient> {
  cluster = new StoreCluster({ seed: 1, stores: 4, ranges, ...options });
  await cluster.start();
  return cluster.client();
}

function rangeOf(rangeId: number): RangeDescriptor {
  return present(
    cluster.ranges.find((range) => range.rangeId === rangeId),
    'range',
  );
}

/** Asks until the range has the members. */
async function move(
  client: TestClient,
  rangeId: number,
  add: readonly StoreId[],
  remove: readonly StoreId[],
  timeoutMs = 60_000,
): Promise<void> {
  const body = { changeReplicas: { add: [...add], remove: [...remove] } };
  const answer = await cluster.until(
    client.ask(rangeOf(rangeId), body, timeoutMs),
    timeoutMs + 5000,
  );
  expect(answer?.changeReplicas, JSON.stringify(answer)).toMatchObject({ ok: true, message: '' });
}

async function put(client: TestClient, at: Buffer, value: string): Promise<void> {
  const wrote = await cluster.until(client.put(at, value));
  expect(wrote?.write?.applied, `put ${value}`).toBe(true);
}

async function fill(client: TestClient, rows: number, bytes = 100): Promise<void> {
  const mutations = Array.from({ length: rows }, (_, i) => ({
    key: Buffer.of(0x08, 0x20, i >> 8, i & 0xff),
    value: Buffer.alloc(bytes, i),
  }));
  // Twice, so that there is history.
  for (let round = 0; round < 2; round++)
    expect((await cluster.until(client.write({ mutations })))?.write?.applied).toBe(true);
}

function view(storeId: StoreId, rangeId: number) {
  return inspectStore(cluster.store(storeId)).find((each) => each.rangeId === rangeId);
}

/** Waits for what is under way, then: these stores hold the range, all in one state, and nobody else holds anything. */
async function expectMembers(rangeId: number, stores: readonly StoreId[]): Promise<void> {
  await cluster.run(6000);
  const contents = stores.map((storeId) =>
    contentsOf(cluster.store(storeId), cluster.engine(storeId), rangeId),
  );
  for (const [i, each] of contents.entries()) {
    expect(each, `s${stores[i]} has r${rangeId}`).toBeDefined();
    expect(each?.strangers).toBe(0);
    expect(each?.appliedIndex, `s${stores[i]}`).toBe(contents[0]?.appliedIndex);
    expect(each?.text, `s${stores[i]}`).toBe(contents[0]?.text);
  }
  const { descriptor } = JSON.parse(contents[0]?.text ?? '{}') as { descriptor: RangeDescriptor };
  expect(descriptor.replicas.map(({ storeId }) => storeId).sort()).toEqual([...stores]);
  expect(descriptor.replicas.every(({ role }) => role === undefined)).toBe(true);
  for (const storeId of cluster.storeIds) {
    if (!cluster.isRunning(storeId) || stores.includes(storeId)) continue;
    expect(view(storeId, rangeId), `s${storeId} has let r${rangeId} go`).toBeUndefined();
    expect(uninitializedOf(cluster.store(storeId))).toEqual([]);
  }
  expect(cluster.fatal.map(({ error }) => error)).toEqual([]);
}

/** Rows of a store that holds no replica: who it is, and tombstones. */
function leftovers(storeId: StoreId): number {
  return cluster
    .engine(storeId)
    .rows()
    .filter((row) => !row.key.equals(ownerRowKey) && row.key[0] !== 0x74).length;
}

describe('a move', () => {
  it('brings a replica to a new store and takes it from an old one, while writes go on', async () => {
    const client = await started({ limits: { snapshotChunkBytes: 2000 } });
    await fill(client, 100);
    const writer = cluster.client();
    let writes = 0;
    let running = true;
    const loop = (async () => {
      while (running) {
        const wrote = await writer.put(key, `w${writes}`, 20_000);
        expect(wrote?.write?.applied).toBe(true);
        writes++;
        await new Promise<void>((resolve) => void cluster.clock.setTimer(5, resolve));
      }
    })();
    for (const rangeId of [1, 2, 3]) await move(client, rangeId, [four], [one]);
    const during = writes;
    running = false;
    await cluster.until(loop, 30_000);
    expect(during).toBeGreaterThan(20);
    for (const rangeId of [1, 2, 3]) await expectMembers(rangeId, [two, three, four]);
    expect(leftovers(one)).toBe(0);
    expect(probes('snapshotInstalled')).toBeGreaterThanOrEqual(3);
    expect((await cluster.until(client.get(key)))?.value).toBe(`w${writes - 1}`);
  });

  /** Writes more during the copy of a range than any member's log may hold, until `during` is over. */
  async function writtenFast<T>(during: Promise<T>): Promise<T> {
    const writer = cluster.client();
    let running = true;
    const loop = (async () => {
      while (running) {
        const wrote = await writer.put(key, 'w'.repeat(400), 20_000);
        expect(wrote?.write?.applied).toBe(true);
        await new Promise<void>((resolve) => void cluster.clock.setTimer(5, resolve));
      }
    })();
    const result = await cluster.until(during, 120_000);
    running = false;
    await cluster.until(loop, 30_000);
    return result;
  }

  it('of a range that is written fast ends: the log waits for the copy', async () => {
    const limits = { snapshotChunkBytes: 2000, checkpointBytes: 5000 };
    const client = await started({ limits, driverLimits: { retainedLogBytesMax: 5000 } });
    await fill(client, 100, 2000);
    const slow = { delayMsMin: 20, delayMsMax: 20 };
    for (const storeId of [one, two, three])
      cluster.network.setLinkFaults(`store-${storeId}`, `store-${four}`, slow);
    const leader = toStoreId(present(client.leaderOf(key), 'leader'));
    const leaving = leader === one ? two : one;
    const before = probes('snapshotInstalled');
    await writtenFast(move(client, moved, [four], [leaving]));
    // The log's and the state machine's.
    expect(probes('snapshotInstalled') - before).toBe(2);
    await expectMembers(
      moved,
      cluster.storeIds.filter((storeId) => storeId !== leaving),
    );
  });

  it('that the log cannot wait for is given up, and says why', async () => {
    const limits = { snapshotChunkBytes: 2000, checkpointBytes: 5000 };
    const driverLimits = { retainedLogBytesMax: 5000, heldLogBytesMax: 0 };
    const client = await started({ limits: { ...limits, snapshotIdleMs: 2000 }, driverLimits });
    await fill(client, 100, 2000);
    const slow = { delayMsMin: 20, delayMsMax: 20 };
    for (const storeId of [one, two, three])
      cluster.network.setLinkFaults(`store-${storeId}`, `store-${four}`, slow);
    const body = { changeReplicas: { add: [four], remove: [one] } };
    const answer = await writtenFast(client.ask(rangeOf(moved), body, 110_000));
    expect(answer?.changeReplicas?.ok).toBe(false);
    expect(answer?.changeReplicas?.message).toContain('written faster than a copy');
    expect(probes('snapshotOvertaken')).toBeGreaterThan(0);
  });

  it('survives restarts of everybody', async () => {
    const client = await started();
    await fill(client, 20);
    await move(client, moved, [four], [one]);
    for (const storeId of cluster.storeIds) cluster.crash(storeId);
    await cluster.run(100);
    for (const storeId of cluster.storeIds) await cluster.startStore(storeId);
    await put(client, key, 'after');
    await expectMembers(moved, [two, three, four]);
    expect((await cluster.until(client.get(key)))?.value).toBe('after');
  });

  it('of the leader itself hands leadership over first', async () => {
    const client = await started();
    await put(client, key, 'x');
    await cluster.run(6000);
    const leader = toStoreId(present(client.leaderOf(key), 'leader'));
    await move(client, moved, [four], [leader]);
    await expectMembers(
      moved,
      cluster.storeIds.filter((storeId) => storeId !== leader),
    );
    await put(client, key, 'y');
  });

  it('of everybody at once leaves no old member', async () => {
    const client = await started({
      stores: 5,
      ranges: rangesOn([one], [Buffer.alloc(0), Buffer.of(0x03), Buffer.of(0xff, 0xff)]),
    });
    await put(client, key, 'x');
    await move(client, moved, [four], [one]);
    await put(client, key, 'y');
    await expectMembers(moved, [four]);
    expect((await cluster.until(client.get(key)))?.value).toBe('y');
    await move(client, moved, [two, three], []);
    await expectMembers(moved, [two, three, four]);
  });

  it('keeps sessions: a retry after it is answered from the table that moved', async () => {
    const client = await started();
    await put(client, key, '1');
    const range = client.rangeOf(key);
    const registered = await cluster.until(
      client.ask(range, { registerSession: { nonce: Buffer.from('n') } }, 5000),
    );
    const sessionId = registered?.registerSession?.sessionId ?? 0;
    const write = {
      sessionId,
      serial: 1,
      ackedUpTo: 0,
      mutations: [{ key, value: Buffer.from('once') }],
    };
    const first = await cluster.until(client.ask(range, { write }, 5000));
    expect(first?.write?.applied).toBe(true);
    await put(client, key, 'later');
    await move(client, moved, [four], [one]);
    // Only the newcomer is left of those who may lead... and it answers the same.
    await move(client, moved, [], [two]);
    await move(client, moved, [], [three]);
    const again = await cluster.until(client.ask(range, { write }, 20_000), 30_000);
    expect(again?.write).toEqual(first?.write);
    expect((await cluster.until(client.get(key)))?.value).toBe('later');
    await expectMembers(moved, [four]);
  });

  it('asked for again is done already, and nonsense is refused', async () => {
    const client = await started();
    await put(client, key, 'x');
    await move(client, moved, [four], [one]);
    const generation = JSON.parse(
      contentsOf(cluster.store(four), cluster.engine(four), moved)?.text ?? '{}',
    ).descriptor.generation;
    await move(client, moved, [four], [one]);
    expect(
      JSON.parse(contentsOf(cluster.store(four), cluster.engine(four), moved)?.text ?? '{}')
        .descriptor.generation,
    ).toBe(generation);
    const nobody = await cluster.until(
      client.ask(rangeOf(moved), { changeReplicas: { add: [], remove: [2, 3, 4] } }, 5000),
    );
    expect(nobody?.changeReplicas).toMatchObject({ ok: false, message: 'no voter would be left' });
    const bad = await cluster.until(
      client.ask(rangeOf(moved), { changeReplicas: { add: [-1], remove: [] } }, 5000),
    );
    expect(bad?.refusal?.message).toContain('store id');
  });

  it('to a store that never comes is given up, and the learner is taken back', async () => {
    const client = await started({ limits: { strayLearnerMs: 3000 } });
    await put(client, key, 'x');
    cluster.crash(four);
    const answer = await cluster.until(
      client.ask(rangeOf(moved), { changeReplicas: { add: [4], remove: [1] } }, 20_000),
    );
    expect(answer?.changeReplicas?.message).toContain('no progress');
    await cluster.run(8000);
    await expectMembers(moved, [one, two, three]);
    await cluster.startStore(four);
    await move(client, moved, [four], [one]);
    await expectMembers(moved, [two, three, four]);
  });

  it('of the meta range is found by everybody', async () => {
    const client = await started({ stores: 5 });
    for (const [add, remove] of [
      [four, one],
      [five, two],
    ] as const)
      await move(client, 1, [add], [remove]);
    await expectMembers(1, [three, four, five]);
    await cluster.run(15_000);
    for (const storeId of cluster.storeIds) {
      const answer = await cluster.until(client.request(storeId, { discover: {} }));
      expect(
        answer?.discover?.meta?.descriptor?.replicas?.map((replica) => replica.storeId),
        `s${storeId}`,
      ).toEqual([3, 4, 5]);
    }
    // And it is kept up: another range moves, its row follows.
    await move(client, moved, [four], [one]);
    await cluster.run(3000);
    const rows = await cluster.until(client.scan(Buffer.of(2), Buffer.of(3)));
    expect(rows?.length).toBe(ranges.length);
  });
});

describe('crashes', () => {
  /** The machine loses power at the n-th engine operation of a move. */
  async function crashDuringMove(victim: StoreId, operation: number): Promise<boolean> {
    const client = await started({ seed: operation, limits: { snapshotChunkBytes: 1000 } });
    await fill(client, 40);
    let operations = 0;
    let crashed = false;
    cluster.engine(victim).onOperation = () => {
      if (++operations !== operation) return;
      crashed = true;
      cluster.crash(victim);
    };
    const asking = client.ask(
      rangeOf(moved),
      { changeReplicas: { add: [4], remove: [1] } },
      60_000,
    );
    for (let waited = 0; waited < 3000 && !crashed; waited += 100) await cluster.run(100);
    await cluster.run(500);
    if (crashed) await cluster.startStore(victim);
    const answer = await cluster.until(asking, 90_000);
    cluster.engine(victim).onOperation = () => {};
    expect(answer?.changeReplicas?.ok, JSON.stringify(answer)).toBe(true);
    await put(client, key, 'after');
    await expectMembers(moved, [two, three, four]);
    expect(leftoverStorages(four)).toBe(3);
    await cluster.stopAll();
    return crashed;
  }

  /** Storage ids with rows on a store: one per range that it holds. */
  function leftoverStorages(storeId: StoreId): number {
    const ids = new Set<string>();
    for (const { key: row } of cluster.engine(storeId).rows())
      if (row[0] === 0x64 || row[0] === 0x68) ids.add(row.subarray(1, 5).toString('hex'));
    // The two other ranges are not on store 4.
    return ids.size + (storeId === four ? 2 : 0);
  }

  it.each(Array.from({ length: 12 }, (_, i) => i + 1))(
    'of the receiver at its engine operation %i end in the same state',
    async (operation) => {
      const crashed = await crashDuringMove(four, operation);
      if (operation <= 5) expect(crashed).toBe(true);
    },
  );

  it.each([1, 2, 4, 7])('of a sender at its engine operation %i do too', async (operation) => {
    await crashDuringMove(three, operation);
  });

  it.each(Array.from({ length: 8 }, (_, i) => 1 + i * 12))(
    'of the leader %i ms into a move: the next one goes on',
    async (ms) => {
      const client = await started({ seed: ms, limits: { strayLearnerMs: 4000 } });
      await fill(client, 40);
      await cluster.run(6000);
      const leader = toStoreId(present(inspectLeader(moved), 'a leader'));
      const asking = client.ask(
        rangeOf(moved),
        { changeReplicas: { add: [4], remove: [1] } },
        90_000,
      );
      await cluster.run(ms);
      cluster.crash(leader);
      await cluster.run(2000);
      await cluster.startStore(leader);
      const answer = await cluster.until(asking, 120_000);
      expect(answer?.changeReplicas?.ok, JSON.stringify(answer)).toBe(true);
      await expectMembers(moved, [two, three, four]);
    },
  );

  function inspectLeader(rangeId: number): number | undefined {
    return cluster.storeIds.find((storeId) => view(storeId, rangeId)?.raft.role === 'leader');
  }

  it('of the removed replica while it is being deleted leave nothing', async () => {
    for (let operation = 1; operation <= 6; operation++) {
      const client = await started({ seed: operation, limits: { reclaimRows: 10 } });
      await fill(client, 40);
      await move(client, moved, [four], []);
      let operations = 0;
      let crashed = false;
      cluster.engine(one).onOperation = () => {
        if (view(one, moved) !== undefined) return;
        if (++operations !== operation) return;
        crashed = true;
        cluster.crash(one);
      };
      await move(client, moved, [], [one]);
      await cluster.run(1000);
      expect(crashed, `operation ${operation}`).toBe(true);
      await cluster.startStore(one);
      await expectMembers(moved, [two, three, four]);
      await cluster.stopAll();
    }
  });
});

describe('a replica that was away', () => {
  const small = { checkpointBytes: 2000 };

  async function fallBehind(client: TestClient, storeId: StoreId): Promise<void> {
    cluster.isolate(storeId);
    // Who was heard of just now still gets the log.
    await cluster.run(5000);
    for (let i = 0; i < 40; i++) {
      const at = Buffer.of(0x08, 0x20, i);
      expect((await cluster.until(client.put(at, 'x'.repeat(2000), 20_000)))?.write?.applied).toBe(
        true,
      );
    }
    for (const other of cluster.storeIds)
      if (other !== storeId) await cluster.until(cluster.store(other).checkpoint());
  }

  it('gets a snapshot when the log that it needs is gone', async () => {
    const client = await started({ limits: small, driverLimits: { retainedLogBytesMax: 10_000 } });
    await put(client, key, 'x');
    await fallBehind(client, one);
    const behind = view(one, moved)?.appliedIndex ?? 0;
    expect(view(two, moved)?.raft.firstIndex).toBeGreaterThan(behind + 1);
    cluster.network.heal();
    await cluster.run(5000);
    await put(client, key, 'y');
    await expectMembers(moved, [one, two, three]);
    expect(probes('snapshotInstalled')).toBeGreaterThan(0);
    // Replay after a crash begins at the snapshot.
    cluster.crash(one);
    await cluster.startStore(one);
    await put(client, key, 'z');
    await expectMembers(moved, [one, two, three]);
  });

  it('gets another one right after the first, and only the last one stays', async () => {
    const client = await started({ limits: small, driverLimits: { retainedLogBytesMax: 10_000 } });
    await put(client, key, 'x');
    for (let round = 0; round < 3; round++) {
      await fallBehind(client, one);
      cluster.network.heal();
      await cluster.run(1500);
    }
    await put(client, key, 'y');
    await expectMembers(moved, [one, two, three]);
    expect(probes('snapshotInstalled')).toBeGreaterThanOrEqual(2);
    const storages = new Set(
      cluster
        .engine(one)
        .rows()
        .filter((row) => row.key[0] === 0x64)
        .map((row) => row.key.readUInt32BE(1)),
    );
    expect(storages.size).toBeLessThanOrEqual(3);
  });

  it('gets one while the members change', async () => {
    const client = await started({ limits: small, driverLimits: { retainedLogBytesMax: 10_000 } });
    await put(client, key, 'x');
    await fallBehind(client, one);
    const moving = move(client, moved, [four], [three], 90_000);
    cluster.network.heal();
    await moving;
    await expectMembers(moved, [one, two, four]);
  });

  it('is told that it was removed, deletes itself, and disturbs nobody', async () => {
    const client = await started();
    await fill(client, 20);
    await cluster.run(6000);
    cluster.crash(one);
    await move(client, moved, [four], [one]);
    await put(client, key, 'x');
    // Until leaders are where they belong.
    await cluster.run(20_000);
    const before = view(two, moved)?.raft.term;
    await cluster.startStore(one);
    await cluster.run(20_000);
    expect(view(one, moved)).toBeUndefined();
    expect(view(one, 3)).toBeDefined();
    expect(view(two, moved)?.raft.term).toBe(before);
    await expectMembers(moved, [two, three, four]);
    // It may come back: under a new id.
    await move(client, moved, [one], [four]);
    await expectMembers(moved, [one, two, three]);
  });

  it('learns it from the meta range when everybody it knows is gone', async () => {
    const client = await started({
      stores: 5,
      ranges: [
        ...rangesOn([two, three, four], [Buffer.alloc(0), Buffer.of(0x03)]),
        {
          ...present(rangesOn([one], [Buffer.of(0x03), Buffer.of(0xff, 0xff)])[0], 'range'),
          rangeId: moved,
        },
      ],
    });
    await put(client, key, 'x');
    await move(client, moved, [five], []);
    await move(client, moved, [two], []);
    cluster.crash(one);
    await cluster.run(3000);
    await move(client, moved, [], [one]);
    await move(client, moved, [three], [two]);
    await move(client, moved, [four], [five]);
    await cluster.run(12_000);
    cluster.crash(five);
    await cluster.startStore(one);
    await cluster.run(20_000);
    expect(view(one, moved)).toBeUndefined();
    await cluster.startStore(five);
    await expectMembers(moved, [three, four]);
  });
});

describe('a follower', () => {
  it('answers reads that may be answered by followers, never stale', async () => {
    const client = await started();
    // Until leaders are where they belong.
    await cluster.run(15_000);
    await put(client, key, '1');
    const leader = present(client.leaderOf(key), 'leader');
    const follower = toStoreId(leader === 1 ? 2 : 1);
    const read = (followerRead: boolean) =>
      client.request(follower, {
        rangeId: moved,
        generation: 1,
        followerRead,
        get: { keys: [key] },
      });
    expect((await cluster.until(read(false)))?.refusal?.reason).toBeDefined();
    for (let i = 2; i < 6; i++) {
      await put(client, key, `${i}`);
      const got = await cluster.until(read(true));
      expect(String(got?.get?.values?.[0]?.value)).toBe(`${i}`);
    }
    const scanned = await cluster.until(
      client.request(follower, {
        rangeId: moved,
        generation: 1,
        followerRead: true,
        scan: { startKey: Buffer.of(0x08), endKey: Buffer.of(0x08, 0x80) },
      }),
    );
    expect(scanned?.scan?.rows?.map((row) => String(row.value))).toEqual(['5']);
    expect(probes('followerRead')).toBeGreaterThanOrEqual(5);
    // Writes are not for followers.
    const write = await cluster.until(
      client.request(follower, {
        rangeId: moved,
        generation: 1,
        followerRead: true,
        write: { sessionId: 1, serial: 1, mutations: [{ key, value: key }] },
      }),
    );
    expect(write?.refusal?.ranges?.[0]?.leaseholderStoreId).toBe(leader);
    // Cut off from the leader it does not answer with what it has.
    cluster.network.cut(`store-${follower}`, `store-${leader}`);
    await cluster.run(50);
    await put(client, key, 'new');
    const cut = await cluster.until(read(true));
    expect(String(cut?.get?.values?.[0]?.value)).not.toBe('5');
  });
});
