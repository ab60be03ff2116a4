import { DbError, SeededPrng, type StoreId, toHex, toStoreId } from '@flotilla/base';
import { expect, it } from 'vitest';
import { type BootstrapOptions, type BootstrapResult, bootstrapCluster } from './bootstrap.ts';
import { bytes, type Kit, setUp } from './router.test-kit.ts';
import type { FakeAnswer } from './testing/fake-cluster.ts';

/** Stores that have not been founded yet, unless `clusterIds` says otherwise. */
class Unfounded {
  readonly kit: Kit = setUp();
  readonly clusterIds = new Map<number, string>();
  readonly founded: number[] = [];
  knownStoreIds: number[] = [];
  leaderless = 0;
  refusing = 0;

  constructor() {
    this.kit.cluster.intercept = (storeId, request): FakeAnswer | undefined => {
      if (request.discover)
        return {
          discover: {
            storeId,
            clusterId: bytes(this.clusterIds.get(storeId) ?? ''),
            knownStoreIds: this.clusterIds.has(storeId) ? this.knownStoreIds : [],
          },
        };
      if (request.bootstrap) return this.bootstrap(storeId, request.bootstrap);
      if (request.status) return this.status(storeId);
      return undefined;
    };
  }

  private bootstrap(
    storeId: number,
    request: { clusterId?: Uint8Array | null; ranges?: readonly object[] | null },
  ): FakeAnswer {
    const asked = Buffer.from(request.clusterId ?? []).toString('latin1');
    const own = this.clusterIds.get(storeId);
    if (this.refusing === storeId || (own !== undefined && own !== asked))
      return { bootstrap: { ok: false, message: 'belongs to another cluster' } };
    if (own === undefined) this.founded.push(storeId);
    this.clusterIds.set(storeId, asked);
    // From now on the stores' frames carry it.
    this.kit.cluster.clusterId.set(request.clusterId ?? []);
    return { bootstrap: { ok: true, clusterId: request.clusterId ?? bytes('') } };
  }

  private status(storeId: number): FakeAnswer {
    this.leaderless = Math.max(0, this.leaderless - 1);
    const leads = this.leaderless === 0 ? [storeId] : [];
    return {
      status: {
        storeId,
        replicas: leads.map((rangeId) => ({ info: { descriptor: { rangeId } }, leaseValid: true })),
      },
    };
  }

  found(options: Partial<BootstrapOptions> = {}): Promise<BootstrapResult> {
    const promise = bootstrapCluster({
      transport: this.kit.network.connect(`init-${this.kit.clock.nowMs()}`),
      clock: this.kit.clock,
      prng: new SeededPrng(4),
      expectedStores: 3,
      // Range n is led by store n.
      ranges: (storeIds: readonly StoreId[]) =>
        storeIds.map((storeId) => ({ rangeId: storeId, replicas: [{ replicaId: 1, storeId }] })),
      timeoutMs: 5000,
      ...options,
    });
    return this.kit.run(promise);
  }
}

async function errorOf(promise: Promise<unknown>): Promise<DbError> {
  const error = await promise.catch((thrown: unknown) => thrown);
  if (!(error instanceof DbError)) throw new Error(`DbError expected, not ${String(error)}`);
  return error;
}

it('founds a cluster on the stores it finds and waits for leaseholders', async () => {
  const stores = new Unfounded();
  stores.leaderless = 10;
  const result = await stores.found();
  expect(result).toMatchObject({ founded: true, storeIds: [1, 2, 3] });
  expect(result.clusterId).toHaveLength(16);
  expect(stores.founded.sort()).toEqual([1, 2, 3]);
  expect(new Set(stores.clusterIds.values()).size).toBe(1);
});

it('run again finds nothing to do', async () => {
  const stores = new Unfounded();
  const first = await stores.found();
  stores.knownStoreIds = [1, 2, 3];
  stores.founded.length = 0;
  const again = await stores.found();
  expect(again.founded).toBe(false);
  expect(toHex(again.clusterId)).toBe(toHex(first.clusterId));
  expect(stores.founded).toEqual([]);
});

it('resumes a half-done founding under its own id, for the stores it was begun for', async () => {
  const stores = new Unfounded();
  const half = '0123456789abcdef';
  stores.clusterIds.set(2, half);
  stores.knownStoreIds = [1, 2];
  const result = await stores.found();
  expect(result).toMatchObject({ founded: true, storeIds: [1, 2] });
  expect(Buffer.from(result.clusterId).toString()).toBe(half);
  expect(stores.founded).toEqual([1]);
  expect(stores.clusterIds.has(3)).toBe(false);
});

it('refuses two clusters', async () => {
  const stores = new Unfounded();
  stores.clusterIds.set(1, '0123456789abcdef');
  stores.clusterIds.set(3, 'fedcba9876543210');
  const error = await errorOf(stores.found());
  expect(error.code).toBe('INVALID_ARGUMENT');
  expect(stores.founded).toEqual([]);
});

it('refuses a half-done founding with a store that does not answer', async () => {
  const stores = new Unfounded();
  stores.clusterIds.set(2, '0123456789abcdef');
  stores.knownStoreIds = [2, 9];
  expect(await errorOf(stores.found())).toMatchObject({ code: 'UNAVAILABLE' });
  expect(stores.founded).toEqual([]);
});

it('refuses more stores than expected, unless they are named', async () => {
  const stores = new Unfounded();
  expect((await errorOf(stores.found({ expectedStores: 2 }))).code).toBe('INVALID_ARGUMENT');
  expect(stores.founded).toEqual([]);
  const named = await stores.found({ expectedStores: 2, storeIds: [toStoreId(1), toStoreId(3)] });
  expect(named.storeIds).toEqual([1, 3]);
  expect(stores.clusterIds.has(2)).toBe(false);
});

it('says who is missing when the time is up', async () => {
  const stores = new Unfounded();
  await stores.kit.cluster.stopStore(3);
  const error = await errorOf(stores.found());
  expect(error).toMatchObject({ code: 'UNAVAILABLE' });
  expect(error.message).toMatch(/^stores 1, 2 answer; 3 expected: start the others/);
});

it('says that a cluster is founded already where more stores are expected than it has', async () => {
  const stores = new Unfounded();
  await stores.found();
  const error = await errorOf(stores.found({ expectedStores: 4 }));
  expect(error).toMatchObject({ code: 'UNAVAILABLE' });
  expect(error.message).toMatch(/1, 2, 3 answer; 4 expected: their cluster is founded already/);
});

it('waits for a store that comes later', async () => {
  const stores = new Unfounded();
  await stores.kit.cluster.stopStore(3);
  stores.kit.clock.setTimer(1000, () => stores.kit.cluster.startStore(3));
  expect((await stores.found()).storeIds).toEqual([1, 2, 3]);
});

it('passes on why a store refuses', async () => {
  const stores = new Unfounded();
  stores.refusing = 2;
  const error = await errorOf(stores.found());
  expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' });
  expect(error.message).toMatch(/store 2.*another cluster/);
});

it('says so when ranges stay without a leaseholder', async () => {
  const stores = new Unfounded();
  stores.leaderless = 1_000_000;
  expect(await errorOf(stores.found())).toMatchObject({ code: 'UNAVAILABLE' });
});
