import { DbError, type DbErrorOptions, keyMax, toHex, toStoreId } from '@flotilla/base';
import { kv } from '@flotilla/shard/protocol';
import { describe, expect, it } from 'vitest';
import { bytes, type Kit, setUp } from './router.test-kit.ts';
import type { KvRow, WriteBatch } from './router-api.ts';
import { type Interception, refuse } from './testing/fake-cluster.ts';

const { RefusalReason } = kv;

function putOf(key: string, value: string): WriteBatch {
  return {
    conditions: [],
    mutations: [{ kind: 'put', key: bytes(key), value: bytes(value) }],
    deleteSpans: [],
  };
}

async function textAt({ router, run }: Kit, key: string): Promise<string | undefined> {
  const [found] = await run(router.get([bytes(key)]));
  return found === undefined ? undefined : Buffer.from(found.value).toString('latin1');
}

async function errorOf(kit: Kit, promise: Promise<unknown>): Promise<DbError> {
  const error = await kit.run(
    promise.then(
      () => undefined,
      (thrown: unknown) => thrown,
    ),
  );
  if (!(error instanceof DbError)) throw new Error(`DbError expected, not ${String(error)}`);
  return error;
}

/** Intercepts the next `count` requests of a kind. */
function next(
  kit: Kit,
  kind: 'get' | 'write' | 'scan' | 'registerSession' | 'transferLease',
  count: number,
  answer: (storeId: number, requestId: number, clientId: string) => Interception,
): void {
  let left = count;
  kit.cluster.intercept = (storeId, request, clientId) => {
    if (!request[kind] || left === 0) return undefined;
    left--;
    return answer(storeId, request.requestId ?? 0, clientId);
  };
}

async function rowsOf(kit: Kit, scan: AsyncIterable<readonly KvRow[]>): Promise<string[]> {
  const collect = async (): Promise<string[]> => {
    const keys: string[] = [];
    for await (const batch of scan)
      keys.push(...batch.map((row) => Buffer.from(row.key).toString('latin1')));
    return keys;
  };
  return kit.run(collect());
}

describe('reads', () => {
  it('find their range through discovery and the meta range, then use the cache', async () => {
    const kit = setUp();
    kit.cluster.put(bytes('apple'), bytes('red'));
    expect(await textAt(kit, 'apple')).toBe('red');
    expect(await textAt(kit, 'pear')).toBeUndefined();
    expect(kit.cluster.requests('discover').length).toBeGreaterThan(0);
    const lookups = kit.cluster.requests('scan').length;
    kit.cluster.log.length = 0;
    expect(await textAt(kit, 'zebra')).toBeUndefined();
    expect(await textAt(kit, 'apple')).toBe('red');
    expect(lookups).toBe(1);
    expect(kit.cluster.log.map(({ storeId }) => storeId)).toEqual([3, 2]);
  });

  it('of many keys go out as one request per range and come back in order', async () => {
    const kit = setUp(['h', 'p']);
    for (const key of ['a', 'i', 'q', 'z']) kit.cluster.put(bytes(key), bytes(`v${key}`));
    const keys = ['z', 'a', 'nothing', 'i', 'q', 'a'];
    const found = await kit.run(kit.router.get(keys.map(bytes)));
    expect(
      found.map((v) => (v === undefined ? undefined : Buffer.from(v.value).toString())),
    ).toEqual(['vz', 'va', undefined, 'vi', 'vq', 'va']);
    kit.cluster.log.length = 0;
    await kit.run(kit.router.get(keys.map(bytes)));
    expect(kit.cluster.requests('get')).toHaveLength(3);
  });

  it('of one turn leave as one frame per store', async () => {
    const kit = setUp();
    await textAt(kit, 'a');
    const store = kit.cluster.stores.get(2);
    const before = store?.frames ?? 0;
    await kit.run(
      Promise.all(Array.from({ length: 50 }, (_, i) => kit.router.get([bytes(`a${i}`)]))),
    );
    expect((store?.frames ?? 0) - before).toBe(1);
  });

  it('that miss the cache share one look-up', async () => {
    const kit = setUp(['c', 'e', 'g', 'i', 'k', 'm']);
    await kit.run(
      Promise.all('abcdefghijklmnop'.split('').map((key) => kit.router.get([bytes(key)]))),
    );
    expect(kit.cluster.requests('scan')).toHaveLength(1);
  });

  it('refuse empty and oversized keys and an empty list is nothing', async () => {
    const kit = setUp();
    expect(await kit.run(kit.router.get([]))).toEqual([]);
    expect((await errorOf(kit, kit.router.get([bytes('')]))).code).toBe('INVALID_ARGUMENT');
    expect((await errorOf(kit, kit.router.get([Buffer.alloc(9000)]))).code).toBe('TOO_LARGE');
  });

  it('of more keys than a store takes are cut', async () => {
    const kit = setUp();
    const keys = Array.from({ length: 2500 }, (_, i) => bytes(`a${i}`));
    expect(await kit.run(kit.router.get(keys))).toHaveLength(2500);
    const sizes = kit.cluster.requests('get').map((request) => request.get?.keys?.length);
    expect(sizes).toEqual([1000, 1000, 500]);
  });
});

describe('refusals of reads', () => {
  it('NOT_LEASEHOLDER with a newer term: goes there at once', async () => {
    const kit = setUp();
    await textAt(kit, 'a');
    kit.cluster.moveLease(kit.cluster.rangeOf(bytes('a')), 3);
    const start = kit.clock.nowMs();
    await textAt(kit, 'a');
    expect(kit.clock.nowMs() - start).toBeLessThan(10);
    expect(kit.cluster.requests('get')).toHaveLength(3);
  });

  it('NOT_LEASEHOLDER without a name: asks the others in turn, with pauses', async () => {
    const kit = setUp();
    await textAt(kit, 'a');
    const range = kit.cluster.rangeOf(bytes('a'));
    range.leaseholder = 0;
    range.term++;
    kit.cluster.log.length = 0;
    const read = kit.router.get([bytes('a')]);
    await kit.pass(1000);
    const asked = kit.cluster.log.map(({ storeId }) => storeId);
    expect(new Set(asked)).toEqual(new Set([1, 2, 3]));
    expect(asked.length).toBeGreaterThan(15);
    expect(asked.length).toBeLessThan(150);
    range.leaseholder = 3;
    const start = kit.clock.nowMs();
    await kit.run(read);
    expect(kit.clock.nowMs() - start).toBeLessThan(100);
  });

  it('does not believe an older term', async () => {
    const kit = setUp();
    const range = kit.cluster.rangeOf(bytes('a'));
    kit.cluster.moveLease(range, 3);
    await textAt(kit, 'a');
    // Store 3 steps down; store 1 lags behind and still names store 2, of an older term.
    next(kit, 'get', 2, (storeId) =>
      refuse(RefusalReason.NOT_LEASEHOLDER, [
        {
          ...kit.cluster.infoOf(range),
          leaseholderStoreId: storeId === 3 ? 0 : 2,
          term: storeId === 3 ? 2 : 1,
        },
      ]),
    );
    kit.cluster.log.length = 0;
    expect(await textAt(kit, 'a')).toBeUndefined();
    expect((await kit.run(kit.router.lookup(bytes('a')))).leaseholderStoreId).toBe(3);
  });

  it('one call searches for a leaseholder, the others wait for what it finds', async () => {
    const kit = setUp();
    await textAt(kit, 'a');
    const range = kit.cluster.rangeOf(bytes('a'));
    range.leaseholder = 0;
    range.term++;
    await kit.run(Promise.race([kit.router.get([bytes('a')]).catch(() => {}), kit.pass(20)]));
    kit.cluster.log.length = 0;
    const reads = Promise.all(
      Array.from({ length: 100 }, (_, i) => kit.router.get([bytes(`a${i}`)])),
    );
    await kit.pass(500);
    expect(kit.cluster.log.length).toBeLessThan(80);
    range.leaseholder = 1;
    const start = kit.clock.nowMs();
    await kit.run(reads);
    expect(kit.clock.nowMs() - start).toBeLessThan(100);
  });

  it('RANGE_KEY_MISMATCH: learns the halves of a split and asks both', async () => {
    const kit = setUp();
    for (const key of ['a', 'f']) kit.cluster.put(bytes(key), bytes(key));
    await textAt(kit, 'a');
    kit.cluster.split(bytes('d'), 1);
    kit.cluster.log.length = 0;
    const found = await kit.run(kit.router.get([bytes('a'), bytes('f')]));
    expect(found.map((v) => v && Buffer.from(v.value).toString())).toEqual(['a', 'f']);
    expect(kit.cluster.requests('scan')).toHaveLength(0);
    expect(kit.cluster.requests('get')).toHaveLength(3);
  });

  it('RANGE_KEY_MISMATCH of a store that lags behind: does not go back to the old range', async () => {
    const kit = setUp();
    kit.cluster.put(bytes('f'), bytes('new'));
    await textAt(kit, 'a');
    const old = kit.cluster.infoOf(kit.cluster.rangeOf(bytes('a')));
    kit.cluster.split(bytes('d'), 3);
    expect(await textAt(kit, 'f')).toBe('new');
    next(kit, 'get', 1, () => refuse(RefusalReason.RANGE_KEY_MISMATCH, [old]));
    expect(await textAt(kit, 'f')).toBe('new');
    const info = await kit.run(kit.router.lookup(bytes('f')));
    expect(toHex(info.descriptor?.startKey ?? bytes(''))).toBe(toHex(bytes('d')));
  });

  it('a range that is known on both sides of a newer one is asked on each side', async () => {
    const kit = setUp();
    for (const key of ['a', 'd', 'h']) kit.cluster.put(bytes(key), bytes(key));
    await textAt(kit, 'a');
    kit.cluster.split(bytes('g'));
    const middle = kit.cluster.infoOf(kit.cluster.split(bytes('c')));
    next(kit, 'get', 1, () => refuse(RefusalReason.RANGE_KEY_MISMATCH, [middle]));
    expect(await textAt(kit, 'd')).toBe('d');
    const located = await kit.run(
      kit.router.transactions.locate([bytes('a'), bytes('d'), bytes('h')], []),
    );
    expect(located.flatMap(({ keys }) => keys.map((key) => Buffer.from(key).toString()))).toEqual([
      'a',
      'h',
      'd',
    ]);
    const found = await kit.run(kit.router.get([bytes('a'), bytes('h')]));
    expect(found.map((v) => v && Buffer.from(v.value).toString())).toEqual(['a', 'h']);
  });

  it('RANGE_NOT_FOUND everywhere: looks the range up again', async () => {
    const kit = setUp();
    kit.cluster.put(bytes('a'), bytes('here'));
    await textAt(kit, 'a');
    const range = kit.cluster.rangeOf(bytes('a'));
    kit.cluster.startStore(4);
    range.storeIds = [4];
    range.generation++;
    kit.cluster.moveLease(range, 4);
    expect(await textAt(kit, 'a')).toBe('here');
    expect(kit.cluster.requests('scan').length).toBe(2);
  });

  it('RANGE_NOT_FOUND at one store: tries another and keeps the descriptor', async () => {
    const kit = setUp();
    await textAt(kit, 'a');
    next(kit, 'get', 1, () => refuse(RefusalReason.RANGE_NOT_FOUND));
    await textAt(kit, 'a');
    expect(kit.cluster.requests('scan')).toHaveLength(1);
  });

  it('BUSY: waits as long as it is told', async () => {
    const kit = setUp();
    await textAt(kit, 'a');
    next(kit, 'get', 1, () => refuse(RefusalReason.BUSY, [], 200));
    const start = kit.clock.nowMs();
    await textAt(kit, 'a');
    expect(kit.clock.nowMs() - start).toBeGreaterThanOrEqual(200);
    expect(kit.clock.nowMs() - start).toBeLessThan(500);
  });

  it.each([
    ['STOPPING', RefusalReason.STOPPING],
    ['NOT_BOOTSTRAPPED', RefusalReason.NOT_BOOTSTRAPPED],
    ['DEADLINE', RefusalReason.DEADLINE],
    ['UNKNOWN_OUTCOME', RefusalReason.UNKNOWN_OUTCOME],
    ['a reason of a newer store', 99],
  ])('%s: tries again elsewhere', async (_name, reason) => {
    const kit = setUp();
    kit.cluster.put(bytes('a'), bytes('v'));
    await textAt(kit, 'a');
    next(kit, 'get', 2, () => refuse(reason));
    expect(await textAt(kit, 'a')).toBe('v');
  });

  it.each([
    ['INVALID', RefusalReason.INVALID, 'INVALID_ARGUMENT'],
    ['TOO_LARGE', RefusalReason.TOO_LARGE, 'TOO_LARGE'],
    ['WRONG_CLUSTER', RefusalReason.WRONG_CLUSTER, 'UNAVAILABLE'],
  ])('%s: fails at once', async (_name, reason, code) => {
    const kit = setUp();
    await textAt(kit, 'a');
    next(kit, 'get', 1, () => refuse(reason));
    const error = await errorOf(kit, kit.router.get([bytes('a')]));
    expect(error).toMatchObject({ code, outcome: 'not_applied' });
  });

  it('an answer of the wrong kind or length is not taken', async () => {
    const kit = setUp();
    kit.cluster.put(bytes('a'), bytes('v'));
    await textAt(kit, 'a');
    const wrong: Interception[] = [{ get: { values: [] } }, { write: { applied: true } }];
    next(kit, 'get', 2, () => wrong.shift());
    expect(await textAt(kit, 'a')).toBe('v');
  });
});

describe('lost, doubled and late answers', () => {
  it('a lost answer is asked for again, within half a second', async () => {
    const kit = setUp();
    kit.cluster.put(bytes('a'), bytes('v'));
    await textAt(kit, 'a');
    next(kit, 'get', 1, () => 'drop');
    const start = kit.clock.nowMs();
    expect(await textAt(kit, 'a')).toBe('v');
    expect(kit.clock.nowMs() - start).toBeLessThan(700);
  });

  it('an answer to an attempt that was given up is still taken', async () => {
    const kit = setUp();
    await textAt(kit, 'a');
    let late: (() => void) | undefined;
    kit.cluster.intercept = (storeId, request, clientId) => {
      if (!request.get) return undefined;
      late ??= () =>
        kit.cluster.stores.get(storeId)?.reply(clientId, request.requestId ?? 0, {
          get: { values: [{ present: true, value: bytes('late'), timestamp: 5 }] },
        });
      return 'drop';
    };
    const read = kit.router.get([bytes('a')]);
    await kit.pass(1500);
    expect(kit.cluster.requests('get').length).toBeGreaterThan(2);
    late?.();
    expect(Buffer.from((await kit.run(read))[0]?.value ?? []).toString()).toBe('late');
  });

  it('doubled, unasked and unreadable answers do no harm', async () => {
    const kit = setUp();
    kit.cluster.put(bytes('a'), bytes('v'));
    kit.cluster.intercept = (storeId, request, clientId) => {
      const store = kit.cluster.stores.get(storeId);
      const usual = kit.cluster.usualAnswer(storeId, request);
      for (const id of [request.requestId ?? 0, 123_456_789]) store?.reply(clientId, id, usual);
      store?.sendRaw(clientId, bytes('\xff\xff\xff'));
      return undefined;
    };
    for (let i = 0; i < 5; i++) expect(await textAt(kit, 'a')).toBe('v');
  });

  it('a slow store that is heard is given more time before it is asked again', async () => {
    const kit = setUp();
    await textAt(kit, 'a');
    let held = 0;
    kit.cluster.intercept = (storeId, request, clientId) => {
      if (Buffer.from(request.get?.keys?.[0] ?? []).toString() !== 'a-slow') return undefined;
      held++;
      kit.clock.setTimer(700, () =>
        kit.cluster.stores
          .get(storeId)
          ?.reply(clientId, request.requestId ?? 0, kit.cluster.usualAnswer(storeId, request)),
      );
      return 'drop';
    };
    const slow = kit.router.get([bytes('a-slow')]);
    for (let i = 0; i < 10; i++) {
      await kit.pass(50);
      await textAt(kit, 'a');
    }
    await kit.run(slow);
    expect(held).toBe(1);
  });

  it('survives a network that loses, doubles and delays: every write takes effect once', async () => {
    for (let seed = 1; seed <= 5; seed++) {
      const kit = setUp(['m'], {}, seed);
      await textAt(kit, 'a');
      kit.network.setFaults({
        dropProbability: 0.1,
        duplicateProbability: 0.1,
        delayMsMin: 0,
        delayMsMax: 30,
      });
      const writes = Array.from({ length: 200 }, (_, i) =>
        kit.router.write(putOf(`${i % 2 ? 'a' : 'z'}${i}`, 'x'), { timeoutMs: 30_000 }),
      );
      const outcomes = await kit.run(Promise.all(writes));
      expect(outcomes.every((outcome) => outcome.applied)).toBe(true);
      expect([...kit.cluster.effects.values()].every((count) => count === 1)).toBe(true);
      expect(kit.cluster.effects.size).toBe(200);
    }
  });
});

describe('stores that are down', () => {
  it('an unreachable store: what is under way there goes elsewhere at once', async () => {
    const kit = setUp();
    kit.cluster.put(bytes('a'), bytes('v'));
    await textAt(kit, 'a');
    // Asked, but it dies before it answers.
    next(kit, 'get', 1, () => 'drop');
    const first = kit.router.get([bytes('a')]);
    await kit.pass(5);
    kit.cluster.intercept = undefined;
    await kit.cluster.stopStore(2);
    kit.cluster.moveLease(kit.cluster.rangeOf(bytes('a')), 3);
    const start = kit.clock.nowMs();
    const second = kit.router.get([bytes('a')]);
    await kit.run(Promise.all([first, second]));
    expect(kit.clock.nowMs() - start).toBeLessThan(20);
  });

  it('a failover of 1.1 s costs little more than the election', async () => {
    const kit = setUp();
    await textAt(kit, 'a');
    const range = kit.cluster.rangeOf(bytes('a'));
    await kit.cluster.stopStore(2);
    const start = kit.clock.nowMs();
    const reads = Promise.all(
      Array.from({ length: 20 }, (_, i) => kit.router.get([bytes(`a${i}`)])),
    );
    const writes = Promise.all(
      Array.from({ length: 20 }, (_, i) => kit.router.write(putOf(`a${i}`, 'w'))),
    );
    await kit.pass(1100);
    kit.cluster.moveLease(range, 1);
    await kit.run(Promise.all([reads, writes]));
    expect(kit.clock.nowMs() - start - 1100).toBeLessThan(120);
  });

  it('a store that hangs is found out by silence', async () => {
    const kit = setUp();
    await textAt(kit, 'a');
    const range = kit.cluster.rangeOf(bytes('a'));
    kit.network.cut('router', 'store-2');
    const start = kit.clock.nowMs();
    const reads = Promise.all(
      Array.from({ length: 20 }, (_, i) => kit.router.get([bytes(`a${i}`)])),
    );
    await kit.pass(1100);
    kit.cluster.moveLease(range, 1);
    await kit.run(reads);
    expect(kit.clock.nowMs() - start - 1100).toBeLessThan(350);
  });

  it('a store that was suspect for one lost frame is used again as soon as it is heard', async () => {
    const kit = setUp();
    await textAt(kit, 'a');
    next(kit, 'get', 1, () => 'drop');
    await textAt(kit, 'a');
    kit.cluster.log.length = 0;
    await textAt(kit, 'a');
    expect(kit.cluster.log.map(({ storeId }) => storeId)).toEqual([2]);
  });

  it('while the connection is away nothing is sent, and everything goes on when it is back', async () => {
    const kit = setUp();
    await textAt(kit, 'a');
    kit.network.setConnected('router', false);
    kit.cluster.log.length = 0;
    const read = kit.router.get([bytes('a')]);
    const write = kit.router.write(putOf('a', 'v'));
    const short = errorOf(kit, kit.router.write(putOf('b', 'v'), { timeoutMs: 100 }));
    expect(await short).toMatchObject({ code: 'UNAVAILABLE', outcome: 'not_applied' });
    await kit.pass(1000);
    expect(kit.cluster.log).toHaveLength(0);
    kit.network.setConnected('router', true);
    const start = kit.clock.nowMs();
    await kit.run(Promise.all([read, write]));
    expect(kit.clock.nowMs() - start).toBeLessThan(10);
  });

  it('no store at all: UNAVAILABLE by the deadline, not before and not much later', async () => {
    const kit = setUp();
    for (const storeId of [1, 2, 3]) await kit.cluster.stopStore(storeId);
    const error = await errorOf(kit, kit.router.get([bytes('a')], { timeoutMs: 777 }));
    expect(error.code).toBe('UNAVAILABLE');
    expect(kit.clock.nowMs()).toBeGreaterThanOrEqual(777);
    expect(kit.clock.nowMs()).toBeLessThan(800);
  });
});

describe('writes', () => {
  it('register one session per range, and number what they send', async () => {
    const kit = setUp();
    const keys = ['a', 'b', 'x', 'y'];
    const outcomes = await kit.run(
      Promise.all(keys.map((key) => kit.router.write(putOf(key, key)))),
    );
    expect(outcomes.every((outcome) => outcome.applied)).toBe(true);
    expect(kit.cluster.requests('registerSession')).toHaveLength(2);
    const ids = kit.cluster.requests('write').map(({ write }) => [write?.sessionId, write?.serial]);
    expect(new Set(ids.map(([session]) => session)).size).toBe(2);
    expect(ids.map(([, serial]) => serial).sort()).toEqual([1, 1, 2, 2]);
    expect(await textAt(kit, 'x')).toBe('x');
  });

  it('acknowledge only what has been answered with all before it', async () => {
    const kit = setUp();
    await kit.run(kit.router.write(putOf('a', '0')));
    const held: (() => void)[] = [];
    kit.cluster.intercept = (storeId, request, clientId) => {
      if (request.write?.serial !== 2) return undefined;
      const answer = kit.cluster.usualAnswer(storeId, request);
      held.push(() =>
        kit.cluster.stores.get(storeId)?.reply(clientId, request.requestId ?? 0, answer),
      );
      return 'drop';
    };
    const second = kit.router.write(putOf('a', '1'));
    await kit.pass(5);
    await kit.run(kit.router.write(putOf('a', '2')));
    await kit.run(kit.router.write(putOf('a', '3')));
    expect(kit.cluster.requests('write').at(-1)?.write).toMatchObject({ serial: 4, ackedUpTo: 1 });
    held[0]?.();
    await kit.run(second);
    kit.cluster.intercept = undefined;
    await kit.run(kit.router.write(putOf('a', '4')));
    expect(kit.cluster.requests('write').at(-1)?.write).toMatchObject({ serial: 5, ackedUpTo: 4 });
  });

  it('that lost their answer are repeated under the same number and take effect once', async () => {
    const kit = setUp();
    await kit.run(kit.router.write(putOf('a', '0')));
    next(kit, 'write', 1, (storeId) => {
      const { request } = kit.cluster.log.at(-1) ?? {};
      if (request !== undefined) kit.cluster.usualAnswer(storeId, request);
      return 'drop';
    });
    expect(await kit.run(kit.router.write(putOf('k', '1')))).toMatchObject({ applied: true });
    const serials = kit.cluster.requests('write').map(({ write }) => write?.serial);
    expect(serials.length).toBeGreaterThan(2);
    expect(new Set(serials.slice(1))).toEqual(new Set([2]));
    expect(kit.cluster.effects.get(toHex(bytes('k')))).toBe(1);
  });

  it('whose condition fails say which one and what was found', async () => {
    const kit = setUp();
    kit.cluster.put(bytes('b'), bytes('there'));
    const batch: WriteBatch = {
      conditions: [
        { kind: 'absent', key: bytes('a') },
        { kind: 'absent', key: bytes('b') },
      ],
      mutations: [{ kind: 'delete', key: bytes('b') }],
      deleteSpans: [],
    };
    const outcome = await kit.run(kit.router.write(batch));
    expect(outcome).toMatchObject({ applied: false, failedCondition: 1 });
    if (outcome.applied) throw new Error('not applied expected');
    const unchanged: WriteBatch = {
      conditions: [{ kind: 'unchanged', key: bytes('b'), timestamp: outcome.foundTimestamp }],
      mutations: [{ kind: 'delete', key: bytes('b') }],
      deleteSpans: [{ startKey: bytes('c'), endKey: bytes('d') }],
    };
    expect(await kit.run(kit.router.write(unchanged))).toMatchObject({ applied: true });
    expect(await textAt(kit, 'b')).toBeUndefined();
  });

  it('must lie in one range', async () => {
    const kit = setUp();
    const batch: WriteBatch = {
      conditions: [],
      mutations: [
        { kind: 'put', key: bytes('a'), value: bytes('1') },
        { kind: 'put', key: bytes('z'), value: bytes('1') },
      ],
      deleteSpans: [],
    };
    const error = await errorOf(kit, kit.router.write(batch));
    expect(error).toMatchObject({ code: 'NOT_SUPPORTED', outcome: 'not_applied' });
    expect(kit.cluster.requests('write')).toHaveLength(0);
  });

  it.each<[string, WriteBatch, DbErrorOptions & { code: string }]>([
    ['nothing', { conditions: [], mutations: [], deleteSpans: [] }, { code: 'INVALID_ARGUMENT' }],
    [
      'a large value',
      {
        conditions: [],
        mutations: [{ kind: 'put', key: bytes('a'), value: Buffer.alloc(5 << 20) }],
        deleteSpans: [],
      },
      { code: 'TOO_LARGE' },
    ],
    [
      'an empty span',
      {
        conditions: [],
        mutations: [],
        deleteSpans: [{ startKey: bytes('b'), endKey: bytes('b') }],
      },
      { code: 'INVALID_ARGUMENT' },
    ],
  ])('refuse %s', async (_what, batch, expected) => {
    const kit = setUp();
    expect(await errorOf(kit, kit.router.write(batch))).toMatchObject({
      ...expected,
      outcome: 'not_applied',
    });
  });

  it('a value of the largest size travels in pieces', async () => {
    const kit = setUp();
    const value = Buffer.alloc(4 << 20, 5);
    const batch: WriteBatch = {
      conditions: [],
      mutations: [{ kind: 'put', key: bytes('a'), value }],
      deleteSpans: [],
    };
    await kit.run(kit.router.write(batch));
    const [found] = await kit.run(kit.router.get([bytes('a')]));
    expect(Buffer.compare(found?.value ?? bytes(''), value)).toBe(0);
  });

  it('an expired session before anything was in doubt: registers another one and goes on', async () => {
    const kit = setUp();
    await kit.run(kit.router.write(putOf('a', '0')));
    kit.cluster.rangeOf(bytes('a')).sessions.clear();
    expect(await kit.run(kit.router.write(putOf('a', '1')))).toMatchObject({ applied: true });
    expect(kit.cluster.requests('registerSession')).toHaveLength(2);
    const nonces = kit.cluster
      .requests('registerSession')
      .map((request) => toHex(request.registerSession?.nonce ?? bytes('')));
    expect(new Set(nonces).size).toBe(2);
    expect(await textAt(kit, 'a')).toBe('1');
  });

  it('an expired session after a write under it was lost: the outcome is unknown, nothing is repeated', async () => {
    const kit = setUp();
    await kit.run(kit.router.write(putOf('a', '0')));
    next(kit, 'write', 1, () => {
      kit.cluster.rangeOf(bytes('a')).sessions.clear();
      return 'drop';
    });
    const error = await errorOf(kit, kit.router.write(putOf('a', '1')));
    expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', outcome: 'unknown' });
    expect(
      kit.cluster
        .requests('write')
        .slice(1)
        .every(({ write }) => write?.serial === 2),
    ).toBe(true);
    expect(await textAt(kit, 'a')).toBe('0');
    expect(await kit.run(kit.router.write(putOf('a', '2')))).toMatchObject({ applied: true });
  });

  it('a lease is transferred by whoever holds it, asked again if the answer was lost', async () => {
    const kit = setUp();
    const range = kit.cluster.rangeOf(bytes('a'));
    await kit.run(kit.router.get([bytes('a')]));
    kit.cluster.moveLease(range, 3);
    next(kit, 'transferLease', 2, (storeId) => {
      const { request } = kit.cluster.log.at(-1) ?? {};
      if (request !== undefined && storeId === 3) kit.cluster.usualAnswer(storeId, request);
      return storeId === 3 ? 'drop' : undefined;
    });
    await kit.run(kit.router.transferLease(bytes('a'), toStoreId(2)));
    expect(range.leaseholder).toBe(2);
    const error = await errorOf(kit, kit.router.transferLease(bytes('a'), toStoreId(9)));
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', message: 'no such replica' });
  });

  it('a registration that lost its answer finds its own session', async () => {
    const kit = setUp();
    next(kit, 'registerSession', 1, (storeId) => {
      const { request } = kit.cluster.log.at(-1) ?? {};
      if (request !== undefined) kit.cluster.usualAnswer(storeId, request);
      return 'drop';
    });
    await kit.run(kit.router.write(putOf('a', '0')));
    expect(kit.cluster.rangeOf(bytes('a')).sessions.size).toBe(1);
  });

  it('a deadline after the write was sent: unknown', async () => {
    const kit = setUp();
    await kit.run(kit.router.write(putOf('a', '0')));
    kit.cluster.intercept = (_store, request) => (request.write ? 'drop' : undefined);
    const error = await errorOf(kit, kit.router.write(putOf('a', '1'), { timeoutMs: 1000 }));
    expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', outcome: 'unknown' });
    expect(kit.cluster.requests('write').length).toBeGreaterThan(2);
  });

  it('a deadline after nothing but refusals: not applied', async () => {
    const kit = setUp();
    await kit.run(kit.router.write(putOf('a', '0')));
    kit.cluster.rangeOf(bytes('a')).leaseholder = 0;
    const error = await errorOf(kit, kit.router.write(putOf('a', '1'), { timeoutMs: 1000 }));
    expect(error).toMatchObject({ code: 'TIMEOUT', outcome: 'not_applied' });
    expect(await textAt(kit, 'zz')).toBeUndefined();
  });

  it('UNKNOWN_OUTCOME: asks again under the same number, and is unknown if that is never answered', async () => {
    const kit = setUp();
    await kit.run(kit.router.write(putOf('a', '0')));
    next(kit, 'write', 1, () => refuse(RefusalReason.UNKNOWN_OUTCOME));
    expect(await kit.run(kit.router.write(putOf('a', '1')))).toMatchObject({ applied: true });
    expect(
      kit.cluster
        .requests('write')
        .slice(1)
        .every(({ write }) => write?.serial === 2),
    ).toBe(true);
    let asked = 0;
    kit.cluster.intercept = (_store, request) => {
      if (!request.write) return undefined;
      return refuse(asked++ === 0 ? RefusalReason.UNKNOWN_OUTCOME : RefusalReason.NOT_LEASEHOLDER);
    };
    const error = await errorOf(kit, kit.router.write(putOf('a', '2'), { timeoutMs: 500 }));
    expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', outcome: 'unknown' });
  });

  it('ALREADY_ANSWERED: unknown', async () => {
    const kit = setUp();
    next(kit, 'write', 1, () => refuse(RefusalReason.ALREADY_ANSWERED));
    const error = await errorOf(kit, kit.router.write(putOf('a', '1')));
    expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', outcome: 'unknown' });
  });

  it('in doubt when the range splits keep their session and number on the other side', async () => {
    const kit = setUp();
    await kit.run(kit.router.write(putOf('f', '0')));
    next(kit, 'write', 1, (storeId) => {
      const { request } = kit.cluster.log.at(-1) ?? {};
      if (request !== undefined) kit.cluster.usualAnswer(storeId, request);
      kit.cluster.split(bytes('d'), 1);
      return 'drop';
    });
    expect(await kit.run(kit.router.write(putOf('f', '1')))).toMatchObject({ applied: true });
    const writes = kit.cluster.requests('write').slice(1);
    expect(new Set(writes.map(({ write }) => `${write?.sessionId}/${write?.serial}`)).size).toBe(1);
    expect(new Set(writes.map(({ rangeId }) => rangeId)).size).toBe(2);
    expect(kit.cluster.effects.get(toHex(bytes('f')))).toBe(2);
    await kit.run(kit.router.write(putOf('f', '2')));
    expect(kit.cluster.requests('registerSession')).toHaveLength(2);
  });

  const both: WriteBatch = {
    conditions: [],
    mutations: [...putOf('a', '1').mutations, ...putOf('f', '1').mutations],
    deleteSpans: [],
  };

  it.each([
    ['has taken effect', true, { applied: true }],
    ['has not', false, { code: 'NOT_SUPPORTED', outcome: 'not_applied' }],
  ])(
    'in doubt when their range is cut between their keys say whether it %s',
    async (_, made, end) => {
      const kit = setUp();
      await kit.run(kit.router.write(putOf('a', '0')));
      next(kit, 'write', 1, (storeId) => {
        const { request } = kit.cluster.log.at(-1) ?? {};
        if (request !== undefined && made) kit.cluster.usualAnswer(storeId, request);
        kit.cluster.split(bytes('d'), 1);
        return 'drop';
      });
      const settled = await kit.run(kit.router.write(both).catch((error: unknown) => error));
      expect(settled).toMatchObject(end);
      const writes = kit.cluster.requests('write').slice(1);
      expect(new Set(writes.map(({ write }) => `${write?.sessionId}/${write?.serial}`)).size).toBe(
        1,
      );
      expect(await textAt(kit, 'a')).toBe(made ? '1' : '0');
    },
  );

  it('of a transaction in doubt that must move to a later timestamp are surely not made any more', async () => {
    const kit = setUp();
    await kit.run(kit.router.write(putOf('a', '0')));
    const { transactions } = kit.router;
    let first: (() => void) | undefined;
    kit.cluster.intercept = (storeId, request) => {
      if (!request.write || !request.transaction) return undefined;
      if (first !== undefined) return refuse(RefusalReason.PUSHED);
      first = () => void kit.cluster.usualAnswer(storeId, request);
      return 'drop';
    };
    const context = {
      id: new Uint8Array(16).fill(7),
      ...{ startedAt: 1, readTimestamp: 0, uncertaintyLimit: 0 },
      ...{ observed: new Map<number, number>(), stores: new Set<number>() },
    };
    const write = transactions.write(context, {
      ...putOf('a', '1'),
      ...{ readChecks: [], demandedTimestamp: transactions.now(), maxTimestamp: 0 },
    });
    const error = await kit.run(write.catch((thrown: unknown) => thrown));
    expect(error).toMatchObject({ reason: 'pushed' });
    first?.();
    expect(await textAt(kit, 'a')).toBe('0');
  });

  it('keep the span of unanswered numbers within the window', async () => {
    const kit = setUp(['m'], { limits: { sessionWindow: 8 } });
    let worst = 0;
    kit.cluster.intercept = (_store, { write }) => {
      if (write) worst = Math.max(worst, (write.serial ?? 0) - (write.ackedUpTo ?? 0));
      return undefined;
    };
    const writes = Array.from({ length: 100 }, (_, i) => kit.router.write(putOf(`a${i}`, 'x')));
    await kit.run(Promise.all(writes));
    expect(worst).toBe(8);
    expect(kit.cluster.effects.size).toBe(100);
  });
});

describe('scans', () => {
  const all = Array.from({ length: 50 }, (_, i) => `k${String(i).padStart(2, '0')}`);

  function filled(): Kit {
    const kit = setUp(['k10', 'k20', 'k37']);
    for (const key of all) kit.cluster.put(bytes(key), bytes('v'));
    return kit;
  }

  it('go through all ranges in key order, in batches', async () => {
    const kit = filled();
    const span = { startKey: bytes('k'), endKey: keyMax };
    expect(await rowsOf(kit, kit.router.scan(span, { batchRows: 7 }))).toEqual(all);
    expect(await rowsOf(kit, kit.router.scan(span))).toEqual(all);
  });

  it('go backwards', async () => {
    const kit = filled();
    const span = { startKey: bytes('k05'), endKey: bytes('k45') };
    const expected = all.slice(5, 45).reverse();
    expect(await rowsOf(kit, kit.router.scan(span, { reverse: true, batchRows: 6 }))).toEqual(
      expected,
    );
  });

  it('stop at their limit', async () => {
    const kit = filled();
    const span = { startKey: bytes('k'), endKey: keyMax };
    expect(await rowsOf(kit, kit.router.scan(span, { limit: 13, batchRows: 5 }))).toEqual(
      all.slice(0, 13),
    );
    expect(await rowsOf(kit, kit.router.scan(span, { limit: 3, reverse: true }))).toEqual(
      all.slice(-3).reverse(),
    );
  });

  it('go on over a split and a lost answer in the middle', async () => {
    const kit = filled();
    let scans = 0;
    kit.cluster.intercept = (_store, request) => {
      if (!request.scan || (request.scan.startKey?.[0] ?? 0) === 2) return undefined;
      scans++;
      if (scans === 3) kit.cluster.split(bytes('k15'), 3);
      return scans === 5 ? 'drop' : undefined;
    };
    const span = { startKey: bytes('k'), endKey: keyMax };
    expect(await rowsOf(kit, kit.router.scan(span, { batchRows: 4 }))).toEqual(all);
  });

  it('of an empty span give nothing, and an answer that does not move on is refused', async () => {
    const kit = filled();
    expect(
      await rowsOf(kit, kit.router.scan({ startKey: bytes('b'), endKey: bytes('b') })),
    ).toEqual([]);
    await textAt(kit, 'k00');
    let stuck = 2;
    kit.cluster.intercept = (_store, request) =>
      request.scan && stuck-- > 0
        ? { scan: { rows: [], resumeKey: request.scan.startKey ?? null } }
        : undefined;
    const span = { startKey: bytes('k'), endKey: bytes('k05') };
    expect(await rowsOf(kit, kit.router.scan(span))).toEqual(all.slice(0, 5));
  });
});

describe('deadlines, cancelling, limits, closing', () => {
  it('the deadline ends a read even while it is paused or waits for others', async () => {
    const kit = setUp();
    await textAt(kit, 'a');
    const range = kit.cluster.rangeOf(bytes('a'));
    range.leaseholder = 0;
    range.term++;
    const start = kit.clock.nowMs();
    const errors = Array.from({ length: 3 }, () =>
      errorOf(kit, kit.router.get([bytes('a')], { timeoutMs: 333 })),
    );
    for (const error of await Promise.all(errors))
      expect(['TIMEOUT', 'UNAVAILABLE']).toContain(error.code);
    expect(kit.clock.nowMs() - start).toBeLessThan(360);
    // Whoever searched has gone; the next one finds the range still to be searched.
    range.leaseholder = 1;
    expect(await textAt(kit, 'a')).toBeUndefined();
  });

  it('cancelling a read rejects at once, cancelling a write in doubt says so', async () => {
    const kit = setUp();
    await kit.run(kit.router.write(putOf('a', '0')));
    const cancelled = new AbortController();
    cancelled.abort();
    expect(
      (await errorOf(kit, kit.router.get([bytes('a')], { signal: cancelled.signal }))).code,
    ).toBe('CANCELLED');
    kit.cluster.intercept = () => 'drop';
    const controller = new AbortController();
    const { signal } = controller;
    const read = errorOf(kit, kit.router.get([bytes('a')], { signal }));
    const write = errorOf(kit, kit.router.write(putOf('a', '1'), { signal }));
    await kit.pass(5);
    controller.abort();
    expect((await read).code).toBe('CANCELLED');
    expect(await write).toMatchObject({ code: 'OUTCOME_UNKNOWN', outcome: 'unknown' });
  });

  it('cancelling a write that has not left does nothing', async () => {
    const kit = setUp();
    const controller = new AbortController();
    const write = kit.router.write(putOf('a', '1'), { signal: controller.signal });
    controller.abort();
    expect(await errorOf(kit, write)).toMatchObject({ code: 'CANCELLED', outcome: 'not_applied' });
    await kit.pass(100);
    expect(kit.cluster.requests('write')).toHaveLength(0);
  });

  it('no more operations than allowed are under way, the rest wait and none is lost', async () => {
    const kit = setUp(['m'], { limits: { operationsMax: 10 } });
    await textAt(kit, 'a');
    let most = 0;
    let underWay = 0;
    kit.cluster.intercept = (storeId, request, clientId) => {
      if (!request.get) return undefined;
      most = Math.max(most, ++underWay);
      kit.clock.setTimer(20, () => {
        underWay--;
        const answer = kit.cluster.usualAnswer(storeId, request);
        kit.cluster.stores.get(storeId)?.reply(clientId, request.requestId ?? 0, answer);
      });
      return 'drop';
    };
    const reads = Array.from({ length: 95 }, (_, i) => kit.router.get([bytes(`a${i}`)]));
    const late = errorOf(kit, kit.router.get([bytes('b')], { timeoutMs: 100 }));
    await kit.run(Promise.all(reads));
    expect(most).toBe(10);
    expect(await late).toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('bytes under way are bounded too, but one large operation goes alone', async () => {
    const kit = setUp(['m'], { limits: { operationBytesMax: 1000 } });
    const big = putOf('a', 'x'.repeat(5000));
    const outcomes = await kit.run(
      Promise.all([
        kit.router.write(big),
        kit.router.write(big),
        kit.router.write(putOf('b', '1')),
      ]),
    );
    expect(outcomes.every(({ applied }) => applied)).toBe(true);
  });

  it('closing ends everything that is under way', async () => {
    const kit = setUp();
    await kit.run(kit.router.write(putOf('a', '0')));
    kit.cluster.intercept = () => 'drop';
    const read = errorOf(kit, kit.router.get([bytes('a')]));
    const write = errorOf(kit, kit.router.write(putOf('a', '1')));
    await kit.pass(5);
    await kit.router.close();
    expect((await read).code).toBe('CLOSED');
    expect((await write).code).toBe('OUTCOME_UNKNOWN');
    expect((await errorOf(kit, kit.router.get([bytes('a')]))).code).toBe('CLOSED');
    expect(kit.clock.nextTimerAt()).toBeUndefined();
  });

  it('when all is done no timer is left but the one that finds nothing to do', async () => {
    const kit = setUp();
    await kit.run(kit.router.write(putOf('a', '0')));
    await kit.pass(2000);
    expect(kit.clock.nextTimerAt()).toBeUndefined();
  });
});

describe('asking about stores', () => {
  it('discover names all that answer in time', async () => {
    const kit = setUp();
    await kit.cluster.stopStore(2);
    const found = await kit.run(kit.router.discover({ timeoutMs: 100 }));
    expect(found.map((store) => store.storeId)).toEqual([1, 3]);
    expect(toHex(found[0]?.clusterId ?? bytes(''))).toBe(toHex(kit.cluster.clusterId));
  });

  it('status asks one store, and says when it does not answer', async () => {
    const kit = setUp();
    expect(await kit.run(kit.router.status(toStoreId(2)))).toMatchObject({ machine: 'fake' });
    await kit.cluster.stopStore(2);
    const error = await errorOf(kit, kit.router.status(toStoreId(2), { timeoutMs: 100 }));
    expect(error.code).toBe('UNAVAILABLE');
    const controller = new AbortController();
    const cancelled = errorOf(kit, kit.router.status(toStoreId(2), { signal: controller.signal }));
    controller.abort();
    expect((await cancelled).code).toBe('CANCELLED');
  });

  it('says of keys and spans in any number of ranges where they are', async () => {
    const bounds = ['b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'];
    const kit = setUp(bounds);
    for (const key of bounds) await textAt(kit, key);
    const { transactions } = kit.router;
    const spans = [{ startKey: bytes('b'), endKey: bytes('j'), since: 1 }];
    const located = await kit.run(transactions.locate(bounds.map(bytes), spans));
    expect(located.map(({ keys }) => keys.map((key) => Buffer.from(key).toString()))).toEqual(
      bounds.map((key) => [key]),
    );
    expect(located.map(({ readChecks }) => readChecks.length)).toEqual(bounds.map(() => 1));
  });

  it('lookup says what is known about a key', async () => {
    const kit = setUp();
    const info = await kit.run(kit.router.lookup(bytes('q')));
    expect(info).toMatchObject({ leaseholderStoreId: 3, term: 1, descriptor: { rangeId: 3 } });
    expect((await kit.run(kit.router.lookup(Uint8Array.of(2)))).descriptor?.rangeId).toBe(1);
  });

  it('a meta range that lags behind is put right by the stores', async () => {
    const kit = setUp();
    kit.cluster.put(bytes('f'), bytes('v'));
    kit.cluster.metaRows = kit.cluster.ranges.map((range) => kit.cluster.infoOf(range));
    kit.cluster.split(bytes('d'), 1);
    expect(await textAt(kit, 'f')).toBe('v');
    kit.cluster.metaRows = [];
    const error = errorOf(kit, setUpSameCluster(kit));
    expect((await error).code).toBe('UNAVAILABLE');
  });
});

/** A key in a range that the meta range says nothing about: nobody can be asked. */
function setUpSameCluster(kit: Kit): Promise<unknown> {
  kit.cluster.ranges.splice(2, 1);
  const fresh = setUp(['m']);
  fresh.cluster.metaRows = [];
  return fresh.run(fresh.router.get([bytes('q')], { timeoutMs: 500 }));
}
