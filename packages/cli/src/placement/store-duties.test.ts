/** A pretended cluster: rows of the meta index, and what the stores that answer say of their replicas. */
import { DbError, keyMax, kvPrefix, metaPrefix, tablePrefix, toHex } from '@flotilla/base';
import type { KvRow, Router, StoreStatus } from '@flotilla/router';
import { kv } from '@flotilla/shard/protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import { gatherStatus } from '../status/cluster-status.ts';
import { waitUntilGone } from './store-command.ts';
import { dutiesOf, placedOn, readIndex, type StoreDuties } from './store-duties.ts';

interface Range {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
  stores: number[];
  /** Undefined: nobody leads it. */
  leader: number | undefined;
  generation: number;
  term: number;
  leaseValid: boolean;
}

let ranges: Map<number, Range>;
/** As they were when the index was written; by default as they are. */
let indexed: Map<number, Range> | undefined;
let silent: Set<number>;
let indexFails: boolean;

function range(start: Uint8Array, end: Uint8Array, stores: number[], leader?: number): Range {
  return { start, end, stores, leader, generation: 3, term: 7, leaseValid: true };
}

beforeEach(() => {
  ranges = new Map([
    [1, range(new Uint8Array(0), metaPrefix, [1, 2, 3], 1)],
    [2, range(metaPrefix, kvPrefix, [1, 2, 3], 2)],
    [3, range(kvPrefix, tablePrefix, [2, 3, 4], 3)],
    // A table of one replica.
    [4, range(tablePrefix, keyMax, [4], 4)],
  ]);
  indexed = undefined;
  silent = new Set();
  indexFails = false;
});

function infoOf(rangeId: number, { start, end, stores, leader, generation, term }: Range) {
  const replicas = stores.map((storeId) => ({ replicaId: storeId, storeId }));
  const bounds = { startKey: start, endKey: end };
  const descriptor = { rangeId, ...bounds, generation, replicas, nextReplicaId: 9 };
  return { descriptor, leaseholderStoreId: leader ?? 0, term };
}

function statusOf(storeId: number): StoreStatus {
  const held = [...ranges].filter(([, { stores }]) => stores.includes(storeId));
  return {
    storeId,
    replicas: held.map(([rangeId, each]) => ({
      info: infoOf(rangeId, each),
      replicaId: storeId,
      role: each.leader === storeId ? 'leader' : 'follower',
      term: each.term,
      leaseValid: each.leader === storeId && each.leaseValid,
    })),
  };
}

function routerOf(): Router {
  const answering = (): number[] => [1, 2, 3, 4].filter((storeId) => !silent.has(storeId));
  const pretended: Partial<Router> = {
    discover: () =>
      Promise.resolve(
        answering().map((storeId) => ({
          ...{ storeId, version: 'test', clusterId: Uint8Array.of(1) },
          knownStoreIds: [1, 2, 3, 4],
        })),
      ),
    status: (storeId) =>
      silent.has(storeId)
        ? Promise.reject(new DbError('TIMEOUT', 'silent'))
        : Promise.resolve(statusOf(storeId)),
    async *scan(): AsyncGenerator<readonly KvRow[]> {
      if (indexFails) throw new DbError('TIMEOUT', 'nobody answers');
      for (const [rangeId, each] of indexed ?? ranges)
        yield [
          {
            key: each.end,
            value: kv.RangeInfo.encode(infoOf(rangeId, each)).finish(),
            timestamp: 1,
          } as unknown as KvRow,
        ];
    },
  };
  return pretended as Router;
}

async function duties(storeId: number): Promise<StoreDuties> {
  const router = routerOf();
  const index = await readIndex(router, 100);
  return dutiesOf(storeId, index, await gatherStatus(router, 100));
}

/** Which range, changed after its row was written. */
function outrun(rangeId: number, change: Partial<Range>): void {
  indexed = new Map([...ranges].map(([id, each]) => [id, { ...each }]));
  Object.assign(ranges.get(rangeId) as Range, change);
}

describe('what rests on a store', () => {
  it('is what the index and the leaseholders say', async () => {
    expect(await duties(3)).toEqual({ replicas: 3, leases: 1, waitingFor: [] });
    expect(await duties(4)).toEqual({ replicas: 2, leases: 1, waitingFor: [] });
    expect(await duties(9)).toEqual({ replicas: 0, leases: 0, waitingFor: [] });
  });

  it('includes ranges whose replicas are all on stores that do not answer', async () => {
    silent.add(4);
    expect(await duties(4)).toEqual({
      ...{ replicas: 2, leases: 1 },
      waitingFor: ['the leaseholder of r4 (s4: no answer)'],
    });
  });

  it('is not known while a leaseholder does not answer', async () => {
    silent = new Set([1, 2]);
    expect(await duties(9)).toEqual({
      ...{ replicas: 0, leases: 0 },
      waitingFor: ['the leaseholders of r1, r2 (s1, s2: no answer)'],
    });
    silent = new Set();
    (ranges.get(3) as Range).leader = undefined;
    expect((await duties(9)).waitingFor).toEqual(['the leaseholder of r3']);
  });

  it('is not what a leader says that may have a successor', async () => {
    (ranges.get(2) as Range).leaseValid = false;
    expect((await duties(9)).waitingFor).toEqual(['the leaseholder of r2']);
    outrun(2, { leaseValid: true, term: 6 });
    expect((await duties(9)).waitingFor).toEqual(['the leaseholder of r2']);
  });

  it('is not known without the whole index', async () => {
    indexFails = true;
    expect((await duties(9)).waitingFor).toEqual(['the meta index (nobody answers)']);
    expect(placedOn(4, await readIndex(routerOf(), 100))).toBeUndefined();
    indexFails = false;
    indexed = new Map([...ranges].filter(([rangeId]) => rangeId !== 3));
    expect((await duties(9)).waitingFor[0]).toContain('the meta index: who has [kv, ');
    indexed = new Map([...ranges].filter(([rangeId]) => rangeId !== 4));
    expect((await duties(9)).waitingFor[0]).toContain('the meta index: who has [tables, end)');
  });

  it('includes what its row does not say yet, and not what it says no more', async () => {
    outrun(2, { stores: [1, 2, 4], generation: 4 });
    expect(await duties(4)).toMatchObject({ replicas: 3, waitingFor: [] });
    expect(await duties(3)).toMatchObject({ replicas: 2, waitingFor: [] });
    expect(placedOn(3, await readIndex(routerOf(), 100))).toBe(3);
  });

  it('is not known where a range was cut and the row of a part is missing', async () => {
    const middle = Uint8Array.of(...kvPrefix, 5);
    outrun(3, { end: middle, generation: 4 });
    ranges.set(5, range(middle, tablePrefix, [2, 3, 4]));
    expect((await duties(9)).waitingFor).toEqual(['the leaseholders of r3, r5']);
    expect(await duties(4)).toMatchObject({ replicas: 3 });
    expect(toHex(middle)).toHaveLength(4);
  });
});

describe('waiting for a store to be free', () => {
  const said: string[] = [];
  const wait = (storeId: number, wish: 'drain' | 'decommission'): Promise<void> => {
    said.length = 0;
    return waitUntilGone(routerOf(), { storeId, wish, timeoutMs: 0 }, (line) => said.push(line));
  };

  it('ends when it is', async () => {
    ranges.set(4, range(tablePrefix, keyMax, [3], 3));
    await wait(4, 'drain');
    expect(said).toEqual([expect.stringContaining('s4 leads nothing any more: it is safe')]);
    (ranges.get(3) as Range).stores = [1, 2, 3];
    await wait(4, 'decommission');
    expect(said).toEqual([expect.stringContaining('s4 holds nothing any more: it is safe')]);
  });

  it('ends for a store that is lost, once nothing is placed on it', async () => {
    silent.add(4);
    ranges.set(4, range(tablePrefix, keyMax, [3], 3));
    await expect(wait(4, 'decommission')).rejects.toThrow('s4: 1 replicas and 0 leases are left.');
    (ranges.get(3) as Range).stores = [1, 2, 3];
    await wait(4, 'decommission');
    expect(said).toEqual([expect.stringContaining('it is safe to stop it for good')]);
  });

  it('never says so of the only replica, though its store does not answer', async () => {
    (ranges.get(3) as Range).stores = [1, 2, 3];
    silent.add(4);
    await expect(wait(4, 'decommission')).rejects.toThrow(
      's4: 1 replicas and 1 leases are left that are known of; ' +
        'still waiting for the leaseholder of r4 (s4: no answer).',
    );
    expect(said.join()).not.toContain('safe');
  });

  it('does not say so while something is not known', async () => {
    ranges.set(4, range(tablePrefix, keyMax, [3], 3));
    silent = new Set([1, 2, 3, 4]);
    await expect(wait(4, 'drain')).rejects.toThrow(/still waiting for the leaseholders of r1/);
    expect(said.join()).not.toContain('safe');
  });
});
