/** Disks that were copied and put back, and disks of another cluster, in clusters on a clock moved by hand. */
import { ExitCode, FatalError, present, SeededPrng, type StoreId, toStoreId } from '@flotilla/base';
import { afterEach, expect, it } from 'vitest';
import { inspectStore } from '../testing/inspect.ts';
import { StoreCluster, type StoreClusterOptions } from '../testing/store-cluster.ts';
import { readIdentity } from './identity.ts';

const [one, two, three] = [1, 2, 3].map(toStoreId) as [StoreId, StoreId, StoreId];
const key = Buffer.from('\u0008key');

let cluster: StoreCluster;

async function started(
  options: Partial<StoreClusterOptions> = { placement: { reportEveryMs: 1000 } },
): Promise<void> {
  cluster = new StoreCluster({ seed: 11, ...options });
  await cluster.start();
}

afterEach(async () => {
  await cluster.stopAll();
});

async function put(value: string): Promise<void> {
  const answer = await cluster.until(cluster.client().put(key, value, 20_000));
  expect(answer?.write?.applied).toBe(true);
}

function expectRefused(storeId: StoreId): void {
  expect(cluster.fatal.map((each) => each.storeId)).toEqual([storeId]);
  const error = cluster.fatal[0]?.error;
  expect(error instanceof FatalError && error.exitCode).toBe(ExitCode.identityMismatch);
  expect(error?.message).toContain('older copy');
  expect(error?.message).toContain(`flotilla store decommission ${storeId}`);
}

/** Its copy was taken in the same life that went on, and was told of since. */
async function putBackAfterMore(storeId: StoreId): Promise<void> {
  await put('before');
  const copy = cluster.copyOf(storeId);
  for (let i = 0; i < 5; i++) await put(`after ${i}`);
  await cluster.run(3000);
  cluster.crash(storeId);
  cluster.putBack(storeId, copy);
}

it('refuses an old copy by what others remember, before it takes part', async () => {
  await started({});
  await putBackAfterMore(two);
  const store = await cluster.startStore(two);
  let tookPart = false;
  store.ready.then(
    () => (tookPart = true),
    () => {},
  );
  await cluster.run(2000);
  expectRefused(two);
  expect(tookPart).toBe(false);
  expect(inspectStore(store)).toEqual([]);
});

it('does not let it run later either, though nobody is left who remembers', async () => {
  await started();
  await putBackAfterMore(two);
  await cluster.startStore(two);
  await cluster.run(1000);
  expectRefused(two);
  for (const storeId of cluster.storeIds) cluster.crash(storeId, { powerLoss: false });
  const identity = await readIdentity(cluster.disk(two), 'data');
  expect(identity?.outdated).toBe(true);
  await expect(cluster.startStore(two)).rejects.toMatchObject({
    exitCode: ExitCode.identityMismatch,
  });
});

it('refuses an old copy by its row, after a start of all at once', async () => {
  await started();
  await putBackAfterMore(two);
  cluster.crash(one);
  cluster.crash(three);
  for (const storeId of cluster.storeIds) await cluster.startStore(storeId);
  await cluster.run(10_000);
  expectRefused(two);
  expect((await cluster.until(cluster.client().get(key)))?.value).toBe('after 4');
});

it('refuses it by its row though it ran, cut off from all, and was started again', async () => {
  await started();
  await putBackAfterMore(two);
  cluster.isolate(two);
  for (let life = 0; life < 3; life++) {
    const store = await cluster.startStore(two);
    await cluster.run(2000);
    // Its log becomes longer than the one that it is a copy of.
    for (let i = 0; i < 40; i++) await cluster.until(store.checkpoint());
    cluster.crash(two, { powerLoss: false });
  }
  cluster.crash(one);
  cluster.crash(three);
  expect(cluster.fatal).toEqual([]);
  cluster.network.heal();
  for (const storeId of cluster.storeIds) await cluster.startStore(storeId);
  await cluster.run(10_000);
  expectRefused(two);
});

it('refuses it by what others remember, as soon as it reaches them', async () => {
  await started();
  await putBackAfterMore(two);
  cluster.isolate(two);
  await cluster.startStore(two);
  await cluster.run(3000);
  expect(cluster.fatal).toEqual([]);
  cluster.network.heal();
  await cluster.run(6000);
  expectRefused(two);
});

it('never refuses a disk that was not put back', async () => {
  await started({
    placement: { reportEveryMs: 1000 },
    syncDelayMs: [0, 4],
    limits: { checkpointBytes: 400 },
  });
  const prng = new SeededPrng(3);
  for (let round = 0; round < 12; round++) {
    const client = cluster.client();
    for (let i = 0; i < 3; i++) void client.put(key, `${round}.${i}`, 20_000);
    await cluster.run(prng.nextBelow(400));
    const all = round % 4 === 3;
    const downs = all ? cluster.storeIds : [toStoreId(1 + prng.nextBelow(3))];
    for (const storeId of downs)
      if (prng.nextBelow(4) === 0) await cluster.stop(storeId);
      else cluster.crash(storeId, { powerLoss: prng.nextBelow(2) === 0 });
    await cluster.run(prng.nextBelow(300));
    for (const storeId of downs) await cluster.startStore(storeId);
    await cluster.run(prng.nextBelow(3000));
  }
  await cluster.run(6000);
  expect(cluster.fatal).toEqual([]);
  for (const storeId of cluster.storeIds)
    expect(present(inspectStore(cluster.store(storeId))[0], 'replica').raft.role).toBeDefined();
  await put('end');
});

it('begins though nobody answers, and says so to nobody', async () => {
  await started();
  for (const storeId of cluster.storeIds) cluster.crash(storeId);
  await cluster.startStore(one);
  await cluster.run(1000);
  expect(inspectStore(cluster.store(one))).not.toEqual([]);
  await cluster.startStore(two);
  await put('by two of three');
  expect(cluster.fatal).toEqual([]);
});

it('refuses the only store of another cluster, which needs nobody to commit', async () => {
  const elsewhere = new StoreCluster({ seed: 12, stores: 1, placement: { reportEveryMs: 1000 } });
  elsewhere.clusterId.fill(0xe7);
  await elsewhere.start();
  await elsewhere.stop(one);
  const stray = elsewhere.copyOf(one);
  await elsewhere.stopAll();

  await started({ stores: 4, founding: 3, placement: { reportEveryMs: 1000 } });
  cluster.crash(one);
  cluster.putBack(one, stray);
  await cluster.startStore(one);
  await cluster.run(2000);
  expect(cluster.fatal.map(({ storeId }) => storeId)).toEqual([one]);
  expect(cluster.fatal[0]?.error.message).toContain('c1'.repeat(16));
});

it('refuses a disk of another cluster where its own is not and that one runs, and no other', async () => {
  const elsewhere = new StoreCluster({ seed: 12, placement: { reportEveryMs: 1000 } });
  elsewhere.clusterId.fill(0xe7);
  await elsewhere.start();
  await elsewhere.run(2000);
  await elsewhere.stop(two);
  const stray = elsewhere.copyOf(two);
  await elsewhere.stopAll();

  await started();
  await cluster.run(3000);
  for (const storeId of cluster.storeIds) cluster.crash(storeId);
  cluster.putBack(two, stray);
  // Alone with a store that it does not belong to: none of them can tell who is right.
  await cluster.startStore(two);
  await cluster.startStore(one);
  await cluster.run(10_000);
  expect(cluster.fatal).toEqual([]);
  await cluster.startStore(three);
  await cluster.run(10_000);
  expect(cluster.fatal.map(({ storeId }) => storeId)).toEqual([two]);
  expect(cluster.fatal[0]?.error.message).toContain('c1'.repeat(16));
  expect(cluster.fatal[0]?.error).toMatchObject({ exitCode: ExitCode.identityMismatch });
  await put('they are well');
});
