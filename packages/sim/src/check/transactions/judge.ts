/** What is judged of the transactions of a run when it is over: by what clients saw, and by what stores hold. */
import { checkListAppend, printAnomalies } from '@flotilla/client/testing';
import type { SimCluster } from '../../cluster/sim-cluster.ts';
import { SimFailure } from '../../failure.ts';
import { wallErrorMsMax } from '../../swarm.ts';
import type { TransactionLoad } from '../../workload/transactions/load.ts';
import { trueWallMs } from '../../world/host.ts';
import { leftovers } from './leftovers.ts';
import { checkTimestamps } from './timestamps.ts';
import { gatherVersions } from './versions.ts';

/** What coordinators that died have left is gone within this, whether anybody meets it or not. Unit: ms. */
const leftMsMax = 5_000;

/** Nothing is left of any transaction, within bounded time. Call when every range serves. */
export async function leavesNothing(cluster: SimCluster): Promise<void> {
  const { world, machines } = cluster;
  // A frame that comes once more may lock a key for one that is long over, as if its coordinator had died then.
  const until = Math.max(world.nowMs(), world.lastReplayMs) + leftMsMax;
  let left = leftovers(machines);
  while (left !== undefined && world.nowMs() < until && cluster.failure === undefined) {
    await world.run(Math.min(until, world.nowMs() + 50), () => cluster.failure !== undefined);
    left = leftovers(machines);
  }
  if (cluster.failure !== undefined) throw cluster.failure;
  if (left !== undefined)
    throw new SimFailure(
      'liveness',
      `transactions have left something after ${leftMsMax} ms: ${left}`,
    );
}

/** Call when replicas agree. Throws SimFailure. */
export function judgeTransactions(load: TransactionLoad, { machines, world }: SimCluster): void {
  const versions = gatherVersions(machines);
  checkTimestamps(load.traces, versions, {
    trueEpochMs: trueWallMs(world) - world.nowMs(),
    wallErrorMs: wallErrorMsMax,
  });
  const anomalies = checkListAppend(load.lists.history());
  if (anomalies.length > 0) throw new SimFailure('isolation', printAnomalies(anomalies));
}
