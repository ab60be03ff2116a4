/** Snapshots at followers: served by what is closed and applied there, refused by everything else. */
import {
  assert,
  FrameReader,
  HybridLogicalClock,
  keyMax,
  present,
  SeededPrng,
  type StoreId,
  timestampFromWallMs,
  timestampToWallMs,
  toStoreId,
  toTimestamp,
} from '@flotilla/base';
import { defaultTimings } from '@flotilla/raft';
import { afterEach, describe, expect, it } from 'vitest';
import { flotilla } from '../../gen/kv.js';
import { splitRange } from '../testing/inspect.ts';
import { rangesOn } from '../testing/ranges-on.ts';
import { StoreCluster, type StoreClusterOptions } from '../testing/store-cluster.ts';
import type { TestClient } from '../testing/test-client.ts';
import { TestTransaction } from '../testing/test-transaction.ts';
import { HeardClosed } from './heard-closed.ts';

type Response = flotilla.kv.Response;
type Request = flotilla.kv.Request.$Properties;

const Reason = flotilla.kv.RefusalReason;
const stores = [1, 2, 3].map(toStoreId);
const bounds = [Buffer.alloc(0), Buffer.from('b'), Buffer.from('c'), Buffer.from(keyMax)];
const ranges = rangesOn(stores, bounds);
/** Until whatever is written now is closed and heard of. Unit: ms. */
const untilClosed = 4500;
const b1 = Buffer.from('b1');

let cluster: StoreCluster;
let client: TestClient;

afterEach(async () => {
  await cluster.stopAll();
});

async function start(options: Partial<StoreClusterOptions> = {}): Promise<void> {
  cluster = new StoreCluster({ seed: 3, ranges, ...options });
  await cluster.start();
  client = cluster.client();
  // Until leaders are where they belong.
  await cluster.run(15_000);
}

/** @returns when it was written */
async function put(key: Buffer, value: string | undefined): Promise<number> {
  const mutation =
    value === undefined ? { key, isDelete: true } : { key, value: Buffer.from(value) };
  const answer = await cluster.until(client.write({ mutations: [mutation] }, 20_000));
  return present(answer?.write?.timestamp, 'a timestamp');
}

function leader(): StoreId {
  return toStoreId(present(client.leaderOf(b1), 'a leader'));
}

function follower(): StoreId {
  return present(
    stores.find((storeId) => storeId !== leader()),
    'a follower',
  );
}

async function readAt(storeId: StoreId, timestamp: number, body: Request): Promise<Response> {
  const { rangeId } = client.rangeOf(body.get?.keys?.[0] ?? body.scan?.startKey ?? b1);
  const answer = client.request(storeId, {
    rangeId,
    generation: 1,
    followerRead: true,
    transaction: { id: Buffer.alloc(16, 7), readTimestamp: timestamp },
    ...body,
  });
  return present(await cluster.until(answer), 'an answer');
}

/** @returns the value, or why there is no answer */
async function valueAt(storeId: StoreId, timestamp: number, key = b1): Promise<string> {
  const { get, refusal } = await readAt(storeId, timestamp, { get: { keys: [key] } });
  if (refusal) return Reason[refusal.reason ?? 0] ?? '';
  const value = present(get?.values?.[0], 'a value');
  return value.present ? Buffer.from(value.value ?? []).toString() : 'absent';
}

async function rowsAt(
  storeId: StoreId,
  timestamp: number,
  options: { readonly reverse?: boolean; readonly maxRows?: number } = {},
): Promise<readonly string[] | string> {
  const scan = { startKey: Buffer.from('b'), endKey: Buffer.from('c'), ...options };
  const { scan: found, refusal } = await readAt(storeId, timestamp, { scan });
  if (refusal) return Reason[refusal.reason ?? 0] ?? '';
  return (found?.rows ?? []).map(
    ({ key, value }) => `${Buffer.from(key ?? [])}=${Buffer.from(value ?? [])}`,
  );
}

function transaction(): TestTransaction {
  const hlc = new HybridLogicalClock(cluster.clock, { maxOffsetMs: 250 });
  return new TestTransaction({ client, hlc, prng: new SeededPrng(1, 1) });
}

describe('a follower', () => {
  it('serves the past by itself, and with nobody else there', async () => {
    await start();
    const first = await put(b1, 'old');
    await cluster.run(10);
    const gone = await put(Buffer.from('b2'), 'deleted later');
    await cluster.run(10);
    await put(b1, 'new');
    const deleted = await put(Buffer.from('b2'), undefined);
    await cluster.run(untilClosed);
    const self = follower();
    for (const other of stores) if (other !== self) cluster.isolate(other);
    await cluster.run(2000);
    expect(await valueAt(self, first - 1)).toBe('absent');
    expect(await valueAt(self, first)).toBe('old');
    expect(await valueAt(self, deleted)).toBe('new');
    expect(await rowsAt(self, first)).toEqual(['b1=old']);
    expect(await rowsAt(self, gone)).toEqual(['b1=old', 'b2=deleted later']);
    expect(await rowsAt(self, gone, { reverse: true, maxRows: 1 })).toEqual(['b2=deleted later']);
    expect(await rowsAt(self, deleted)).toEqual(['b1=new']);
  });

  it('refuses what is not closed, and names the leaseholder', async () => {
    await start();
    await put(b1, 'old');
    await cluster.run(untilClosed);
    const now = timestampFromWallMs(cluster.clock.wallMs() - 1000);
    const { refusal } = await readAt(follower(), now, { get: { keys: [b1] } });
    expect(refusal?.reason).toBe(Reason.NOT_CLOSED);
    expect(refusal?.ranges?.[0]?.leaseholderStoreId).toBe(leader());
    // The leaseholder itself answers whatever is closed.
    expect(await valueAt(leader(), now)).toBe('old');
  });

  it('does not serve what it has been told of and has not applied', async () => {
    await start();
    const first = await put(b1, 'old');
    await cluster.run(untilClosed);
    const self = follower();
    const [store, lead] = [`store-${self}`, `store-${leader()}`];
    // The log does not reach it any more; what the leaseholder closes does.
    cluster.network.setFilter((from, to) => {
      const entries = from === lead && to.kind === 'store' && to.channel === 'raft';
      return !(entries && to.storeId === self) && !(from === store && to.kind === 'store');
    });
    const second = await put(b1, 'new');
    await cluster.run(900);
    expect(await valueAt(self, first)).toBe('old');
    await cluster.run(untilClosed);
    expect(await valueAt(self, second)).toBe('NOT_CLOSED');
    cluster.network.setFilter(undefined);
    await cluster.run(untilClosed);
    expect(await valueAt(self, second)).toBe('new');
  });

  it('does not pass by intents of that time', async () => {
    await start({ limits: { closedTimestampHoldMs: 0 } });
    await put(b1, 'old');
    await put(Buffer.from('b0'), 'before');
    const open = transaction();
    open.put('b1', 'promised');
    open.put('c1', 'promised');
    let steps = 0;
    // Both promises are kept, and nobody says so.
    const committing = open.commit(() => ++steps > 2);
    const committed = present(await cluster.until(committing), 'a commit timestamp');
    await cluster.run(untilClosed);
    const self = follower();
    expect(await valueAt(self, committed)).toBe('NOT_CLOSED');
    expect(await rowsAt(self, committed)).toEqual(['b0=before']);
    expect(await rowsAt(self, committed, { reverse: true })).toBe('NOT_CLOSED');
    // An intent of later is nothing to a snapshot.
    expect(await valueAt(self, committed - 1)).toBe('old');
    expect(await rowsAt(self, committed - 1)).toEqual(['b0=before', 'b1=old']);
    expect(await cluster.until(open.outcome(cluster.client()))).toBe(committed);
    // Until the follower hears that this is committed.
    await cluster.run(800);
    expect(await valueAt(self, committed)).toBe('promised');
  });

  it('knows nothing after a restart until it is told', async () => {
    await start();
    const first = await put(b1, 'old');
    await cluster.run(untilClosed);
    const self = follower();
    cluster.crash(self);
    await cluster.startStore(self);
    expect(await valueAt(self, first)).toBe('NOT_CLOSED');
    await cluster.run(3000);
    expect(await valueAt(self, first)).toBe('old');
  });

  it('that was made from a snapshot serves what it has and is told of', async () => {
    await start({ stores: 4 });
    const four = toStoreId(4);
    const first = await put(b1, 'old');
    const changeReplicas = { add: [four], remove: [follower()] };
    const moved = client.ask(client.rangeOf(b1), { changeReplicas }, 20_000);
    expect((await cluster.until(moved))?.changeReplicas?.ok).toBe(true);
    await cluster.run(untilClosed);
    expect(await valueAt(four, first)).toBe('old');
    expect(await valueAt(four, first - 1)).toBe('absent');
  });

  it('refuses a snapshot that is older than the history, as the leaseholder does', async () => {
    await start({ limits: { historyTtlMs: 60_000 } });
    const first = await put(b1, 'old');
    await put(b1, 'new');
    await cluster.run(90_000);
    expect(await valueAt(leader(), first)).toBe('SNAPSHOT_TOO_OLD');
    expect(await valueAt(follower(), first)).toBe('SNAPSHOT_TOO_OLD');
  });

  it('takes no locks', async () => {
    await start();
    const first = await put(b1, 'old');
    await cluster.run(untilClosed);
    const lock = flotilla.kv.LockMode.LOCK_EXCLUSIVE;
    const { refusal } = await readAt(follower(), first, { get: { keys: [b1], lock } });
    expect(refusal?.reason).toBe(Reason.NOT_LEASEHOLDER);
  });
});

describe('a leaseholder', () => {
  /** A transaction asks for versions as of a time that is closed. */
  async function lateWrites(): Promise<readonly (string | undefined)[]> {
    const past = timestampFromWallMs(cluster.clock.wallMs() - 4000);
    const reasonOf = ({ refusal }: Response): string | undefined =>
      refusal ? Reason[refusal.reason ?? 0] : undefined;
    const header = { id: Buffer.alloc(16, 9), coordinator: 'late', startedAt: past };
    const key = Buffer.from('b7');
    const mutations = [{ key, value: Buffer.from('late') }];
    const written = await cluster.until(
      client.write({ mutations, demandedTimestamp: past }, 20_000, header),
    );
    const prepare = {
      anchorKey: key,
      commitTimestamp: past,
      mutations,
      stage: true,
      promisedKeys: [key],
    };
    const asked = client.ask(client.rangeOf(key), { prepare, transaction: header }, 20_000);
    const prepared = await cluster.until(asked);
    return [reasonOf(present(written, 'an answer')), reasonOf(present(prepared, 'an answer'))];
  }

  it('writes nothing at or below what it has closed', async () => {
    await start();
    await put(b1, 'old');
    await cluster.run(untilClosed);
    expect(await lateWrites()).toEqual(['PUSHED', 'PUSHED']);
  });

  it('lets a transaction keep its time whose promise takes longer than that', async () => {
    await start();
    const first = await put(b1, 'old');
    await cluster.run(untilClosed);
    const header = { id: Buffer.alloc(16, 9), coordinator: 'slow', startedAt: first };
    const commitTimestamp = timestampFromWallMs(cluster.clock.wallMs());
    const prepared = async (name: string): Promise<boolean> => {
      const key = Buffer.from(name);
      const mutations = [{ key, value: key }];
      const prepare = { anchorKey: Buffer.from('b2'), commitTimestamp, mutations };
      const asked = client.ask(client.rangeOf(key), { prepare, transaction: header }, 20_000);
      return present(await cluster.until(asked), 'an answer').prepare?.prepared === true;
    };
    expect(await prepared('b2')).toBe(true);
    await cluster.run(untilClosed);
    expect(await prepared('b3')).toBe(true);
    // What was closed before stays so.
    expect(await valueAt(follower(), first)).toBe('old');
    const later = timestampFromWallMs(cluster.clock.wallMs() - untilClosed);
    expect(await valueAt(follower(), later)).toBe('NOT_CLOSED');
    // But not for ever.
    await cluster.run(10_000);
    expect(await valueAt(follower(), later)).toBe('old');
    expect(await prepared('b4')).toBe(false);
  });

  it('closes nothing that comes after its lease', async () => {
    const lagMs = 100;
    await start({ limits: { closedTimestampIntervalMs: 5, closedTimestampLagMs: lagMs } });
    await put(b1, 'old');
    const { clock, network } = cluster;
    const heard = new HeardClosed(new HybridLogicalClock(clock, { maxOffsetMs: 250 }));
    const before = leader();
    const [lead, store] = [`store-${before}`, follower()];
    const { rangeId } = client.rangeOf(b1);
    const reader = new FrameReader({ clock });
    let closedMs = 0;
    let alone = false;
    network.setFilter((from, to, frame) => {
      if (from === lead && to.kind === 'store' && to.channel === 'kv' && to.storeId === store) {
        const read = reader.read(Buffer.from(frame));
        for (const message of read.ok ? read.messages : []) {
          const { closedTimestamps } = flotilla.kv.Request.decode(Buffer.from(message));
          if (closedTimestamps) heard.receive(before, closedTimestamps);
          const closed = heard.closedAt(rangeId, Number.MAX_SAFE_INTEGER);
          if (closed > 0) closedMs = timestampToWallMs(toTimestamp(closed));
        }
      }
      return !alone;
    });
    // Whoever comes anew is told everything.
    cluster.crash(store);
    await cluster.startStore(store);
    await cluster.run(2000);
    expect(closedMs).toBeGreaterThan(clock.wallMs() - lagMs - 20);
    alone = true;
    const cutMs = clock.wallMs();
    await cluster.run(3000);
    expect(closedMs + lagMs).toBeLessThanOrEqual(cutMs + defaultTimings.leaseDurationMs);
    reader.close();
  });

  it('writes nothing at or below what its predecessors have closed', async () => {
    await start();
    await put(b1, 'old');
    await cluster.run(untilClosed);
    const before = leader();
    cluster.crash(before);
    await cluster.run(3000);
    await put(b1, 'new');
    expect(leader()).not.toBe(before);
    expect(await lateWrites()).toEqual(['PUSHED', 'PUSHED']);
  });

  it('of the right half of a split writes nothing at or below what was closed in the whole', async () => {
    await start();
    await put(b1, 'old');
    await cluster.run(untilClosed);
    const range = client.rangeOf(b1);
    const split = await cluster.until(
      splitRange(cluster.store(leader()), range.rangeId, Buffer.from('b5')),
    );
    assert(split.kind === 'done', 'the range is cut');
    client.onSplit(split.left, split.right);
    await cluster.run(1000);
    expect(await lateWrites()).toEqual(['PUSHED', 'PUSHED']);
  });
});

it('costs one message per pair of stores, whatever the number of ranges', async () => {
  const messages = async (count: number): Promise<number> => {
    const cuts = Array.from({ length: count - 1 }, (_, i) => Buffer.from(`m${1000 + i}`));
    await start({ ranges: rangesOn(stores, [Buffer.alloc(0), ...cuts, Buffer.from(keyMax)]) });
    await cluster.run(20_000);
    let frames = 0;
    cluster.network.setFilter((_from, to) => {
      if (to.kind === 'store' && to.channel === 'kv') frames++;
      return true;
    });
    await cluster.run(10_000);
    cluster.network.setFilter(undefined);
    return frames;
  };
  const few = await messages(6);
  await cluster.stopAll();
  const many = await messages(120);
  // Twice a second between any two of three stores, and what the meta index is told.
  expect(few).toBeLessThanOrEqual(120 + 30);
  expect(many - few).toBeLessThanOrEqual(10);
});
