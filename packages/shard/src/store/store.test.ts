import {
  type Address,
  ExitCode,
  encodeFrame,
  FatalError,
  keyMax,
  present,
  SeededPrng,
  toStoreId,
  toTimestamp,
} from '@flotilla/base';
import { afterEach, describe, expect, it } from 'vitest';

import { initialRanges, metaRangeId, preferredLeader } from '../initial-ranges.ts';
import { kv } from '../protocol/index.ts';
import { inspectStore } from '../testing/inspect.ts';
import { MemoryEngine } from '../testing/memory-engine.ts';
import { StoreCluster, type StoreClusterOptions } from '../testing/store-cluster.ts';
import type { TestClient } from '../testing/test-client.ts';
import { identityPath } from './identity.ts';
import { metaKey } from './meta-index.ts';

const Reason = kv.RefusalReason;
const [one, two, three] = [toStoreId(1), toStoreId(2), toStoreId(3)] as const;
const key = Buffer.of(0x08, 1);

let cluster = new StoreCluster({ seed: 0 });
afterEach(async () => {
  await cluster.stopAll();
});

async function started(options: Partial<StoreClusterOptions> = {}): Promise<TestClient> {
  cluster = new StoreCluster({ seed: 1, ...options });
  await cluster.start();
  return cluster.client();
}

function expectNoFatal(): void {
  expect(cluster.fatal.map(({ error }) => error)).toEqual([]);
}

async function exitCodeOf(promise: Promise<unknown>): Promise<unknown> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof FatalError)) throw error;
  return (error as FatalError).exitCode;
}

/** Serials whose results each replica's sessions hold. */
function resultsOf(tables: readonly (string | undefined)[]): number[][][] {
  return tables.map((text) =>
    (JSON.parse(text ?? '[]') as { results: { serial: number }[] }[]).map(({ results }) =>
      results.map(({ serial }) => serial),
    ),
  );
}

async function rangesOf(client: TestClient, storeId: number) {
  const response = await cluster.until(client.request(storeId, { status: {} }));
  return new Map(
    (response?.status?.replicas ?? []).map((replica) => [
      replica.info?.descriptor?.rangeId ?? 0,
      replica,
    ]),
  );
}

describe('the founding cut', () => {
  it.each([
    [1, 14],
    [2, 14],
    [3, 14],
    [5, 14],
    [3, 4],
    [3, 5],
    [4, 1000],
    [3, 10_000],
  ])('tiles the key space over %i stores (%s ranges)', (count, wanted) => {
    const storeIds = Array.from({ length: count }, (_, i) => toStoreId(i + 1));
    const ranges = initialRanges(storeIds, wanted);
    expect(ranges.length).toBe(wanted);
    let at: Uint8Array = new Uint8Array(0);
    for (const range of ranges) {
      expect(Buffer.compare(range.startKey, at)).toBe(0);
      expect(range.replicas.length).toBe(Math.min(3, count));
      expect(range.replicas.some(({ storeId }) => storeId === preferredLeader(range))).toBe(true);
      at = range.endKey;
    }
    expect(Buffer.compare(at, keyMax)).toBe(0);
    expect(ranges[0]?.rangeId).toBe(metaRangeId);
  });
});

describe('a young cluster', () => {
  it('serves, spreads its leaders and indexes its ranges', async () => {
    const client = await started();
    const wrote = await cluster.until(client.put(key, 'x'));
    expect(wrote?.write?.applied).toBe(true);
    const read = await cluster.until(client.get(key));
    expect(read).toEqual({ value: 'x', timestamp: wrote?.write?.timestamp });

    await cluster.run(8000);
    for (const storeId of cluster.storeIds) {
      const ranges = await rangesOf(client, storeId);
      const led = [...ranges.values()].filter((replica) => replica.role === 'leader');
      expect(led.length).toBeGreaterThanOrEqual(4);
      expect(led.every((replica) => replica.leaseValid)).toBe(true);
    }
    const rows = await cluster.until(
      client.scan(metaKey(Buffer.of(0)), metaKey(Buffer.of(0xff, 0xff, 0))),
    );
    expect(rows?.length).toBe(14);
    for (const row of rows ?? []) {
      const info = kv.RangeInfo.decode(row.value ?? new Uint8Array(0));
      const range = present(
        cluster.ranges.find((each) => each.rangeId === info.descriptor?.rangeId),
        'range',
      );
      expect(info.leaseholderStoreId).toBe(preferredLeader(range));
    }
    expectNoFatal();
  });

  it('answers reads without a lease by asking a quorum', async () => {
    const client = await started();
    await cluster.until(client.put(key, 'x'));
    // A jump of the wall clock makes every store distrust its leases for a while.
    cluster.clock.stepWall(500);
    const leader = present(client.leaderOf(key), 'leader');
    const ranges = await rangesOf(client, leader);
    const read = await cluster.until(client.get(key));
    expect(read?.value).toBe('x');
    const rows = await cluster.until(client.scan(Buffer.of(8), Buffer.of(8, 2)));
    expect(rows?.map((row) => String(row.value))).toEqual(['x']);
    expect(ranges.size).toBe(14);
    expectNoFatal();
  });

  it('takes writes soon after a change of leaders, also when the wall clock is set back meanwhile', async () => {
    const client = await started();
    await cluster.until(client.put(key, 'x'));
    cluster.crash(toStoreId(present(client.leaderOf(key), 'leader')));
    const { rangeId } = client.rangeOf(key);
    const isLed = (): boolean =>
      cluster.storeIds.some(
        (storeId) =>
          cluster.isRunning(storeId) &&
          inspectStore(cluster.store(storeId)).some(
            (view) => view.rangeId === rangeId && view.raft.role === 'leader',
          ),
      );
    while (!isLed()) await cluster.run(5);
    cluster.clock.stepWall(-10_000);
    const wrote = await cluster.until(client.put(key, 'y'), 3000);
    expect(wrote?.write?.applied).toBe(true);
    expectNoFatal();
  });

  it('pages scans both ways, and refuses what is outside the range', async () => {
    const client = await started({ limits: { scanChunkRows: 3 } });
    const put = Array.from({ length: 10 }, (_, i) => ({
      key: Buffer.of(0x08, i + 1),
      value: Buffer.from(`v${i}`),
    }));
    await cluster.until(client.write({ mutations: put }));
    const all = await cluster.until(client.scan(Buffer.of(8), Buffer.of(8, 0x40), 4));
    expect(all?.map((row) => String(row.value))).toEqual(put.map((row) => String(row.value)));
    const range = client.rangeOf(key);
    const scan = { startKey: Buffer.of(8, 2), endKey: Buffer.of(8, 6), reverse: true, maxRows: 3 };
    const page = await cluster.until(client.ask(range, { scan }, 1000));
    expect(page?.scan?.rows?.map((row) => String(row.value))).toEqual(['v4', 'v3', 'v2']);
    expect(Buffer.compare(page?.scan?.resumeKey ?? key, Buffer.of(8, 3))).toBe(0);
    const outside = await cluster.until(
      client.ask(range, { get: { keys: [Buffer.of(0x08, 0x41)] } }, 1000),
    );
    expect(outside?.refusal?.reason).toBe(Reason.RANGE_KEY_MISMATCH);
    const covering = outside?.refusal?.ranges?.map((info) => info.descriptor?.rangeId);
    expect(covering).toEqual([range.rangeId, range.rangeId + 1]);
    expectNoFatal();
  });

  it('deletes spans, up to a limit that it names', async () => {
    const client = await started({ limits: { deleteKeysMax: 6 } });
    const put = (from: number, to: number) =>
      client.write({
        mutations: Array.from({ length: to - from }, (_, i) => ({
          key: Buffer.of(0x08, from + i),
          value: Buffer.from('x'),
        })),
      });
    await cluster.until(put(1, 9));
    const span = (from: number, to: number) => ({
      deleteSpans: [{ startKey: Buffer.of(8, from), endKey: Buffer.of(8, to) }],
    });
    const tooMany = await cluster.until(client.write(span(1, 9)));
    expect(tooMany?.refusal?.reason).toBe(Reason.TOO_LARGE);
    expect(tooMany?.refusal?.message).toContain('6');
    // The put is not applied yet when the span is read: it must be seen all the same.
    const other = cluster.client();
    await cluster.until(other.session(other.rangeOf(key)));
    const both = Promise.all([put(20, 22), other.write(span(5, 22)), other.get(Buffer.of(8, 1))]);
    const [, deleted] = await cluster.until(both);
    expect(deleted?.refusal).toBeNull();
    const rows = await cluster.until(client.scan(Buffer.of(8), Buffer.of(8, 0x40)));
    expect(rows?.map((row) => row.key?.[1])).toEqual([1, 2, 3, 4]);
    expectNoFatal();
  });

  it('refuses what it cannot or must not do, with hints', async () => {
    const client = await started({ limits: { sessionResultsMax: 1 } });
    await cluster.until(client.put(key, 'x'));
    const leader = present(client.leaderOf(key), 'leader');
    const follower = present(
      cluster.storeIds.find((storeId) => storeId !== leader),
      'follower',
    );
    const range = client.rangeOf(key);
    const { rangeId } = range;
    const get = { keys: [key] };
    const ask = async (storeId: number, body: Parameters<TestClient['request']>[1]) =>
      (await cluster.until(client.request(storeId, body)))?.refusal;

    const redirected = await ask(follower, { rangeId, generation: 1, get });
    expect(redirected?.reason).toBe(Reason.NOT_LEASEHOLDER);
    expect(redirected?.ranges?.[0]?.leaseholderStoreId).toBe(leader);
    expect((await ask(leader, { rangeId, generation: 0, get }))?.reason).toBe(
      Reason.RANGE_KEY_MISMATCH,
    );
    expect((await ask(leader, { rangeId, generation: 2, get }))?.reason).toBe(
      Reason.NOT_LEASEHOLDER,
    );
    expect((await ask(leader, { rangeId: 99, generation: 1, get }))?.reason).toBe(
      Reason.RANGE_NOT_FOUND,
    );
    const write = { sessionId: 12345, serial: 1, mutations: [{ key, value: key }] };
    expect((await ask(leader, { rangeId, generation: 1, write }))?.reason).toBe(
      Reason.SESSION_EXPIRED,
    );
    expect(
      (await ask(leader, { rangeId, generation: 1, write: { ...write, sessionId: 0 } }))?.reason,
    ).toBe(Reason.INVALID);
    const registerSession = { nonce: Buffer.from('n') };
    const registered = await cluster.until(
      client.request(leader, { rangeId, generation: 1, registerSession }),
    );
    const again = await cluster.until(
      client.request(leader, { rangeId, generation: 1, registerSession }),
    );
    const sessionId = registered?.registerSession?.sessionId ?? 0;
    expect(again?.registerSession?.sessionId).toBe(sessionId);
    const send = (serial: number, ackedUpTo: number, value = key) =>
      cluster.until(
        client.request(leader, {
          rangeId,
          generation: 1,
          write: { sessionId, serial, ackedUpTo, mutations: [{ key, value }] },
        }),
      );
    const first = await send(1, 0);
    expect((await send(1, 0, Buffer.from('other')))?.write).toEqual(first?.write);
    expect((await send(2, 0))?.refusal?.reason).toBe(Reason.BUSY);
    const big = await send(2, 1, Buffer.alloc(4 * 1024 * 1024 + 1));
    // What it acknowledges made room; the size is looked at next.
    expect(big?.refusal?.reason).toBe(Reason.TOO_LARGE);
    expectNoFatal();
  });

  it('answers acknowledged serials and other clusters as such', async () => {
    const client = await started();
    await cluster.until(client.put(key, 'a'));
    const leader = present(client.leaderOf(key), 'leader');
    const { rangeId } = client.rangeOf(key);
    const register = await cluster.until(
      client.request(leader, { rangeId, generation: 1, registerSession: { nonce: key } }),
    );
    const sessionId = register?.registerSession?.sessionId ?? 0;
    const send = (serial: number, ackedUpTo: number, value: Buffer = key) =>
      cluster.until(
        client.request(leader, {
          rangeId,
          generation: 1,
          write: { sessionId, serial, ackedUpTo, mutations: [{ key, value }] },
        }),
      );
    await send(1, 0);
    await send(2, 1);
    expect((await send(1, 0))?.refusal?.reason).toBe(Reason.ALREADY_ANSWERED);
    const big = await send(3, 2, Buffer.alloc(4 * 1024 * 1024 + 1));
    expect(big?.refusal?.reason).toBe(Reason.TOO_LARGE);

    const stranger = cluster.client({ clusterId: Buffer.alloc(16, 9) });
    const refused = await cluster.until(
      stranger.request(leader, { rangeId, generation: 1, get: { keys: [key] } }),
    );
    expect(refused?.refusal?.reason).toBe(Reason.WRONG_CLUSTER);
    const found = await cluster.until(stranger.request(leader, { discover: {} }));
    expect(found?.discover?.storeId).toBe(leader);
    expect(found?.discover?.knownStoreIds).toEqual([1, 2, 3]);
    expect(found?.discover?.meta?.descriptor?.rangeId).toBe(metaRangeId);
    expectNoFatal();
  });

  it('refuses a late write that one under way acknowledges', async () => {
    const client = await started();
    await cluster.until(client.put(key, 'a'));
    const leader = present(client.leaderOf(key), 'leader');
    const { rangeId } = client.rangeOf(key);
    const register = await cluster.until(
      client.request(leader, { rangeId, generation: 1, registerSession: { nonce: key } }),
    );
    const sessionId = register?.registerSession?.sessionId ?? 0;
    const send = (serial: number, ackedUpTo: number) =>
      client.request(leader, {
        rangeId,
        generation: 1,
        write: { sessionId, serial, ackedUpTo, mutations: [{ key, value: key }] },
      });
    // The client gave serial 1 up and went on; the network delivers it right behind the next one.
    const answers = await cluster.until(Promise.all([send(2, 1), send(1, 0)]));
    expect(answers[0]?.write?.applied).toBe(true);
    expect(answers[1]?.refusal?.reason).toBe(Reason.ALREADY_ANSWERED);
    expectNoFatal();
  });

  it('makes room for sessions in order of last use', async () => {
    const client = await started({ limits: { sessionsMax: 2 } });
    const range = client.rangeOf(key);
    const clients = [cluster.client(), cluster.client(), cluster.client()];
    const [first, second, third] = clients as [TestClient, TestClient, TestClient];
    await cluster.until(first.put(key, '1'));
    await cluster.until(second.put(key, '2'));
    await cluster.until(first.put(key, '3'));
    expect(await cluster.until(third.session(range))).toBe(true);
    expect((await cluster.until(second.put(key, '4')))?.refusal?.reason).toBe(
      Reason.SESSION_EXPIRED,
    );
    expect((await cluster.until(first.put(key, '5')))?.write?.applied).toBe(true);
    expect((await cluster.until(client.get(key)))?.value).toBe('5');
    expectNoFatal();
  });

  it('lets sessions go that rested too long, by the time that the log carries', async () => {
    const client = await started({ limits: { sessionTtlMs: 1000 } });
    const other = cluster.client();
    await cluster.until(client.put(key, '1'));
    await cluster.until(other.put(key, '2'));
    await cluster.run(600);
    await cluster.until(client.put(key, '3'));
    await cluster.run(600);
    // Nobody else has used the range: the entry of this command is the one that forgets `other`.
    await cluster.until(client.put(key, '4'));
    const tables = () =>
      [one, two, three].map((storeId) =>
        inspectStore(cluster.store(storeId))
          .find(({ rangeId }) => rangeId === client.rangeOf(key).rangeId)
          ?.sessions(),
      );
    await cluster.run(800); // followers hear after 750 at the latest that it is committed
    expect(resultsOf(tables())).toEqual([[[3]], [[3]], [[3]]]);
    expect((await cluster.until(other.put(key, '5')))?.refusal?.reason).toBe(
      Reason.SESSION_EXPIRED,
    );
    expect((await cluster.until(client.get(key)))?.value).toBe('4');
    // One that rested alone is found again: nothing came that could have taken its place.
    await cluster.run(5000);
    expect((await cluster.until(client.put(key, '6')))?.write?.applied).toBe(true);
    expectNoFatal();
  });

  it('counts what a request itself acknowledges as room for its result', async () => {
    const client = await started({ limits: { sessionResultsMax: 2 } });
    await cluster.until(client.put(key, 'a'));
    const leader = present(client.leaderOf(key), 'leader');
    const { rangeId } = client.rangeOf(key);
    const register = await cluster.until(
      client.request(leader, { rangeId, generation: 1, registerSession: { nonce: key } }),
    );
    const sessionId = register?.registerSession?.sessionId ?? 0;
    const send = (serial: number, ackedUpTo: number) =>
      client.request(leader, {
        rangeId,
        generation: 1,
        write: { sessionId, serial, ackedUpTo, mutations: [{ key, value: key }] },
      });
    await cluster.until(Promise.all([send(1, 0), send(2, 0)]));
    expect((await cluster.until(send(3, 0)))?.refusal?.reason).toBe(Reason.BUSY);
    expect((await cluster.until(send(3, 2)))?.write?.applied).toBe(true);
    expect((await cluster.until(send(4, 2)))?.write?.applied).toBe(true);
    expect((await cluster.until(send(5, 2)))?.refusal?.reason).toBe(Reason.BUSY);
    expectNoFatal();
  });

  it('lets no doubled frame make a write that was refused, however late the copy comes', async () => {
    const client = await started();
    await cluster.run(10_000); // balanced
    await cluster.until(client.put(key, 'a'));
    const leader = present(client.leaderOf(key), 'leader');
    const { rangeId } = client.rangeOf(key);
    const register = await cluster.until(
      client.request(leader, { rangeId, generation: 1, registerSession: { nonce: key } }),
    );
    const follower = leader === 1 ? 2 : 1;
    const frames: { readonly to: Address; readonly frame: Uint8Array }[] = [];
    cluster.network.setFilter((from, to, frame) => {
      if (from.startsWith('client-')) frames.push({ to, frame: Uint8Array.from(frame) });
      return true;
    });
    const write = {
      sessionId: register?.registerSession?.sessionId ?? 0,
      serial: 1,
      mutations: [{ key, value: Buffer.from('late') }],
    };
    const refused = client.request(follower, { rangeId, generation: 1, write });
    expect((await cluster.until(refused))?.refusal?.reason).toBe(Reason.NOT_LEASEHOLDER);
    cluster.network.setFilter(undefined);
    expect(frames.length).toBe(1);
    const transferLease = { targetStoreId: follower };
    await cluster.until(client.request(leader, { rangeId, generation: 1, transferLease }));
    await cluster.run(100);
    expect((await rangesOf(client, follower)).get(rangeId)?.role).toBe('leader');
    const wire = cluster.network.connect('wire');
    for (const { to, frame } of frames) wire.send(to, frame);
    await cluster.run(100);
    expect((await cluster.until(client.get(key)))?.value).toBe('a');
    // Asked anew, it is made.
    const anew = client.request(follower, { rangeId, generation: 1, write });
    expect((await cluster.until(anew))?.write?.applied).toBe(true);
    expect((await cluster.until(client.get(key)))?.value).toBe('late');
    expectNoFatal();
  });

  it('hands a range to the store that is asked for, which keeps it for a while', async () => {
    const client = await started();
    await cluster.run(10_000); // balanced
    await cluster.until(client.put(key, 'a'));
    const leader = present(client.leaderOf(key), 'leader');
    expect(leader).toBe(preferredLeader(client.rangeOf(key)));
    const { rangeId } = client.rangeOf(key);
    const target = leader === 1 ? 2 : 1;
    const ask = (storeId: number, targetStoreId: number) =>
      client.request(storeId, { rangeId, generation: 1, transferLease: { targetStoreId } });
    const refused = await cluster.until(ask(leader, 9));
    expect(refused?.transferLease).toMatchObject({
      ok: false,
      message: `r${rangeId} has no replica on s9`,
    });
    const dead = present(
      [1, 2, 3].map(toStoreId).find((id) => id !== leader && id !== target),
      'a third',
    );
    cluster.crash(dead);
    await cluster.run(3000);
    expect((await cluster.until(ask(leader, dead)))?.transferLease).toMatchObject({
      ok: false,
      message: `nothing is heard of s${dead}: start it first`,
    });
    await cluster.startStore(dead);
    await cluster.run(3000);
    const elsewhere = await cluster.until(ask(target, leader));
    expect(elsewhere?.refusal?.reason).toBe(Reason.NOT_LEASEHOLDER);
    expect((await cluster.until(ask(leader, target)))?.transferLease?.ok).toBe(true);
    await cluster.run(50);
    expect((await rangesOf(client, target)).get(rangeId)?.role).toBe('leader');
    expect((await cluster.until(client.get(key)))?.value).toBe('a');
    await cluster.run(2000);
    expect((await rangesOf(client, target)).get(rangeId)?.role).toBe('leader');
    await cluster.run(4000);
    expect((await rangesOf(client, leader)).get(rangeId)?.role).toBe('leader');
    expectNoFatal();
  });

  it('sheds load beyond its bounds', async () => {
    const client = await started({ limits: { requestsInFlightMax: 3 } });
    await cluster.until(client.put(key, 'a'));
    const leader = present(client.leaderOf(key), 'leader');
    const { rangeId } = client.rangeOf(key);
    const answers = await cluster.until(
      Promise.all(
        Array.from({ length: 5 }, (_, i) =>
          client.request(leader, {
            rangeId,
            generation: 1,
            registerSession: { nonce: Buffer.of(i) },
          }),
        ),
      ),
    );
    const busy = answers.filter((answer) => answer?.refusal?.reason === Reason.BUSY);
    expect(busy.length).toBe(2);
    expect(busy[0]?.refusal?.retryAfterMs).toBeGreaterThan(0);
    expect((await cluster.until(client.get(key)))?.value).toBe('a');
    expectNoFatal();
  });
});

describe('whatever comes in', () => {
  it('is refused or answered, and hurts nobody', async () => {
    const client = await started({ stores: 1 });
    await cluster.until(client.put(key, 'x'));
    const prng = new SeededPrng(11);
    const bytes = (length: number): Buffer =>
      Buffer.from(Array.from({ length }, () => prng.nextBelow(256)));
    const stranger = cluster.network.connect('stranger');
    const valid = kv.Request.encode({
      requestId: 1,
      rangeId: 3,
      generation: 1,
      timeoutMs: 10,
      write: {
        sessionId: 2 ** 60,
        serial: 1,
        conditions: [{ key, kind: 1, timestamp: 5 }],
        mutations: [{ key, value: bytes(20) }],
        deleteSpans: [{ startKey: key, endKey: Buffer.of(9) }],
      },
    }).finish();
    for (let i = 0; i < 2000; i++) {
      const message = prng.nextBelow(2) === 0 ? bytes(prng.nextBelow(40)) : Buffer.from(valid);
      for (let flips = prng.nextBelow(4); flips > 0 && message.length > 0; flips--)
        message[prng.nextBelow(message.length)] = prng.nextBelow(256);
      const sender =
        prng.nextBelow(2) === 0
          ? ({ kind: 'client', clientId: 'stranger' } as const)
          : ({ kind: 'store', storeId: two } as const);
      const header = { clusterId: cluster.clusterId, timestamp: toTimestamp(0), sender };
      const frame = Buffer.from(encodeFrame(header, [message]));
      if (prng.nextBelow(4) === 0) frame[prng.nextBelow(frame.length)] = prng.nextBelow(256);
      const channel = prng.nextBelow(4) === 0 ? 'raft' : 'kv';
      stranger.send({ kind: 'store', storeId: one, channel }, frame);
      if (i % 100 === 0) await cluster.run(1);
    }
    await cluster.run(3000);
    expectNoFatal();
    expect((await cluster.until(client.get(key)))?.value).toBe('x');
  });
});

describe('founding', () => {
  it('ends right whenever the process dies and the request is repeated', async () => {
    for (let crashAt = 0; crashAt <= 60; crashAt += 4) {
      cluster = new StoreCluster({ seed: crashAt, stores: 1, syncDelayMs: [5, 5] });
      await cluster.startStore(one);
      const client = cluster.client();
      const bootstrap = {
        clusterId: cluster.clusterId,
        storeId: one,
        ranges: [...cluster.ranges],
      };
      const refused = await cluster.until(
        client.request(one, { rangeId: 1, generation: 1, get: { keys: [key] } }),
      );
      expect(refused?.refusal?.reason).toBe(Reason.NOT_BOOTSTRAPPED);
      void client.request(one, { bootstrap });
      await cluster.run(crashAt);
      cluster.crash(one);
      await cluster.startStore(one);
      for (let repeat = 0; repeat < 2; repeat++) {
        const answer = await cluster.until(client.request(one, { bootstrap }));
        expect(answer?.bootstrap?.ok).toBe(true);
      }
      const other = { ...bootstrap, clusterId: Buffer.alloc(16, 7) };
      const denied = await cluster.until(client.request(one, { bootstrap: other }));
      expect(denied?.bootstrap?.ok).toBe(false);
      expect((await cluster.until(client.put(key, 'x'), 20_000))?.write?.applied).toBe(true);
      expectNoFatal();
      await cluster.stopAll();
    }
  });

  it('ends right whenever the store is stopped in it and the request is repeated', async () => {
    for (let stopAt = 0; stopAt <= 60; stopAt += 3) {
      cluster = new StoreCluster({ seed: stopAt, stores: 1, syncDelayMs: [5, 5] });
      await cluster.startStore(one);
      const client = cluster.client();
      const { clusterId } = cluster;
      const bootstrap = { clusterId, storeId: one, ranges: [...cluster.ranges] };
      void client.request(one, { bootstrap });
      await cluster.run(stopAt);
      await cluster.stop(one);
      await cluster.startStore(one);
      const answer = await cluster.until(client.request(one, { bootstrap }));
      expect(answer?.bootstrap?.ok).toBe(true);
      expect((await cluster.until(client.put(key, 'x'), 20_000))?.write?.applied).toBe(true);
      expectNoFatal();
      await cluster.stopAll();
    }
  });

  it('refuses what is not a founding', async () => {
    cluster = new StoreCluster({ seed: 1, stores: 1 });
    await cluster.startStore(one);
    const client = cluster.client();
    const good = { clusterId: cluster.clusterId, storeId: one, ranges: [...cluster.ranges] };
    const bad = [
      { ...good, clusterId: Buffer.alloc(16) },
      { ...good, clusterId: Buffer.alloc(3, 1) },
      { ...good, storeId: 2 },
      { ...good, ranges: [] },
      { ...good, ranges: good.ranges.slice(1) },
      { ...good, ranges: [...good.ranges, ...good.ranges] },
      { ...good, ranges: good.ranges.map((range) => ({ ...range, replicas: [] })) },
    ];
    for (const bootstrap of bad) {
      const answer = await cluster.until(client.request(one, { bootstrap }));
      expect(answer?.bootstrap?.ok).toBe(false);
      expect(answer?.bootstrap?.message).not.toBe('');
    }
    expectNoFatal();
  });
});

describe('a restart', () => {
  it('replays nothing after a clean stop, and hands leadership over first', async () => {
    const client = await started();
    for (let i = 0; i < 20; i++) await cluster.until(client.put(key, `${i}`));
    await cluster.run(6000);
    await cluster.stop(one);
    const left = await rangesOf(client, two);
    const there = await rangesOf(client, three);
    for (const rangeId of left.keys()) {
      const leader = [left, there].find((ranges) => ranges.get(rangeId)?.role === 'leader');
      expect(leader).toBeDefined();
    }
    await cluster.stop(two);
    await cluster.stop(three);
    const rows = cluster.storeIds.map((storeId) => cluster.engine(storeId).rows().length);
    for (const storeId of cluster.storeIds) await cluster.startStore(storeId);
    expect(cluster.storeIds.map((storeId) => cluster.engine(storeId).rows().length)).toEqual(rows);
    for (const storeId of cluster.storeIds)
      for (const replica of (await rangesOf(client, storeId)).values())
        expect(replica.commitIndex).toBe(replica.appliedIndex);
    await cluster.run(3000);
    expect((await cluster.until(client.get(key)))?.value).toBe('19');
    expectNoFatal();
  });

  it('is refused when log, state or identity are gone or foreign', async () => {
    const client = await started();
    await cluster.until(client.put(key, 'x'));
    await cluster.run(2000);
    for (const storeId of cluster.storeIds) await cluster.stop(storeId);

    cluster.setEngine(one, new MemoryEngine());
    expect(await exitCodeOf(cluster.startStore(one))).toBe(ExitCode.engineCorrupt);

    const disk = cluster.disk(two);
    for (const name of await disk.list('data/wal')) await disk.remove(`data/wal/${name}`);
    expect(await exitCodeOf(cluster.startStore(two))).toBe(ExitCode.identityMismatch);
    // And again, although the refused start may have made a new log.
    expect(await exitCodeOf(cluster.startStore(two))).toBe(ExitCode.identityMismatch);

    const path = identityPath('data');
    const content = present(cluster.disk(three).content(path), 'identity');
    cluster.disk(three).flip(path, 3);
    expect(await exitCodeOf(cluster.startStore(three))).toBe(ExitCode.identityMismatch);
    await cluster.disk(three).remove(path);
    expect(await exitCodeOf(cluster.startStore(three))).toBe(ExitCode.identityMismatch);
    await cluster.disk(three).replaceFile(path, content);
    await cluster.startStore(three);
    expectNoFatal();
  });

  it('is refused when the state of one range at its checkpoint is gone', async () => {
    const client = await started();
    await cluster.until(client.put(key, 'x'));
    await cluster.stop(one);
    const engine = cluster.engine(one);
    const row = engine.rows().find(({ key: name }) => name[0] === 0x72);
    engine.tamper(present(row, 'range row').key, undefined);
    expect(await exitCodeOf(cluster.startStore(one))).toBe(ExitCode.engineCorrupt);
  });

  it('stops the store that meets a damaged value or a failed write', async () => {
    const client = await started();
    await cluster.until(client.put(key, 'x'));
    const leader = toStoreId(present(client.leaderOf(key), 'leader'));
    const engine = cluster.engine(leader);
    const row = engine.rows().find(({ key: name }) => name[0] === 0x64 && name[5] === 8);
    const { key: name, value } = present(row, 'data row');
    engine.tamper(name, Buffer.concat([value.subarray(0, -1), Buffer.from('y')]));
    // Others take over and still know the truth.
    expect((await cluster.until(client.get(key, 20_000)))?.value).toBe('x');
    expect(cluster.fatal.length).toBe(1);
    expect(cluster.fatal[0]?.error).toMatchObject({ exitCode: ExitCode.engineCorrupt });
    cluster.crash(leader);
    await cluster.startStore(leader);
    await cluster.run(3000);

    const next = toStoreId(present(client.leaderOf(key), 'leader'));
    cluster.engine(next).failWith(new Error('EIO'));
    expect((await cluster.until(client.put(key, 'z', 20_000), 40_000))?.write?.applied).toBe(true);
    await cluster.run(1000);
    expect(cluster.fatal.map(({ storeId }) => storeId)).toEqual([leader, next]);
  });

  it('survives power loss everywhere at any moment between writes and checkpoints', async () => {
    const client = await started({ limits: { checkpointBytes: 300 }, syncDelayMs: [0, 3] });
    const prng = new SeededPrng(5);
    for (let round = 0; round < 6; round++) {
      for (let i = 0; i < 5; i++)
        expect(
          (await cluster.until(client.put(key, `${round}.${i}`, 20_000)))?.write?.applied,
        ).toBe(true);
      await cluster.run(prng.nextBelow(20));
      for (const storeId of cluster.storeIds) cluster.crash(storeId);
      for (const storeId of cluster.storeIds) await cluster.startStore(storeId);
      expect((await cluster.until(client.get(key, 20_000)))?.value).toBe(`${round}.4`);
    }
    expectNoFatal();
  });
});
