/** `flotilla range move`: one replica goes from one store to another. Waits until it has, or says why it does not. */
import { DbError, toStoreId } from '@flotilla/base';
import type { ProcessConfig } from '../config/settings.ts';
import type { Output } from '../output.ts';
import { gatherStatus } from '../status/cluster-status.ts';
import { withCluster } from './with-cluster.ts';

export interface MoveRequest {
  readonly rangeId: number;
  readonly from: number;
  readonly to: number;
  readonly timeoutMs: number;
}

const askMs = 500;

export function runMove(
  config: ProcessConfig,
  { rangeId, from, to, timeoutMs }: MoveRequest,
  output: Output,
): Promise<number> {
  const failed = `r${rangeId} is not moved`;
  return withCluster(config, { timeoutMs, failed, output }, async (router) => {
    const { ranges, stores } = await gatherStatus(router, askMs);
    const range = ranges.find((each) => each.rangeId === rangeId);
    if (range === undefined) throw new DbError('INVALID_ARGUMENT', 'no store knows this range');
    const holds = (storeId: number): boolean =>
      range.replicas.some((replica) => replica.storeId === storeId);
    if (!holds(from) && holds(to)) {
      output.out(`r${rangeId} is on s${to} already, and not on s${from}.\n`);
      return;
    }
    if (!holds(from)) throw new DbError('INVALID_ARGUMENT', `it has no replica on s${from}`);
    if (holds(to)) throw new DbError('INVALID_ARGUMENT', `it has a replica on s${to} already`);
    if (!stores.some(({ storeId, answers }) => storeId === to && answers))
      throw new DbError('INVALID_ARGUMENT', `s${to} does not answer`);
    output.out(`r${rangeId}: its replica goes from s${from} to s${to} ...\n`);
    const startedAt = performance.now();
    const change = { add: [toStoreId(to)], remove: [toStoreId(from)] };
    await router.changeMembers(Buffer.from(range.startKey, 'hex'), change, { timeoutMs });
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    output.out(`r${rangeId}: done in ${seconds} s.\n`);
  });
}
