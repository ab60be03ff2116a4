/** A leader that is to leave its range hands over to a voter that can lead it, whoever else is down. */
import { present, toRangeId, toStoreId } from '@flotilla/base';
import { expect, it } from 'vitest';
import { inspectStore } from '../testing/inspect.ts';
import { rangesOn } from '../testing/ranges-on.ts';
import { StoreCluster } from '../testing/store-cluster.ts';

const voters = [1, 2, 3, 4].map(toStoreId);
const bounds = [[], [0x03], [0xff, 0xff]].map((bytes) => Buffer.from(bytes));
const ranges = rangesOn(voters, bounds);

it('to one that lives, though the log of a dead one is as long', async () => {
  const cluster = new StoreCluster({ seed: 1, stores: 4, ranges });
  await cluster.start();
  await cluster.run(3000);
  const rangeId = toRangeId(2);
  const range = present(
    ranges.find((each) => each.rangeId === rangeId),
    'range',
  );
  const leader = present(
    cluster.storeIds.find((storeId) =>
      inspectStore(cluster.store(storeId)).some(
        ({ descriptor, raft }) => descriptor.rangeId === rangeId && raft.role === 'leader',
      ),
    ),
    'leader',
  );
  const dead = present(
    voters.find((storeId) => storeId !== leader),
    'a follower',
  );
  cluster.crash(dead);
  // It is known to be silent; nobody writes, so its log is as long as everybody's.
  await cluster.run(4000);
  const changeReplicas = { add: [], remove: [leader] };
  const asked = cluster.client().ask(range, { changeReplicas }, 20_000);
  const answer = await cluster.until(asked, 25_000);
  expect(answer?.changeReplicas, JSON.stringify(answer)).toMatchObject({ ok: true });
  expect(cluster.fatal).toEqual([]);
  await cluster.stopAll();
});
