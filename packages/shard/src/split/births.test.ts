/** Right halves that do not live on this store, and the rows that their left halves have let go of. */
import { silentLogger, toRangeId, toReplicaId, toStoreId } from '@flotilla/base';
import { expect, it } from 'vitest';
import type { RangeDescriptor } from '../range-descriptor.ts';
import type { Replica } from '../replica/replica.ts';
import type { RangeState } from '../state/range-checkpoint.ts';
import { Births } from './births.ts';

const [leftId, rightId] = [toRangeId(2), toRangeId(3)];
const descriptor: RangeDescriptor = {
  rangeId: rightId,
  startKey: Buffer.from('m'),
  endKey: Buffer.from('z'),
  generation: 2,
  replicas: [{ replicaId: toReplicaId(1), storeId: toStoreId(1) }],
  nextReplicaId: toReplicaId(2),
};

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A left half has let go of the rows by the entry at 40. */
async function leftBehind(): Promise<{ births: Births; reclaimed: number[]; runs: () => number }> {
  const reclaimed: number[] = [];
  let runs = 0;
  const births = new Births({
    storeId: toStoreId(1),
    logger: silentLogger,
    nursery: { expect: () => false, isBeingReplaced: () => false, replica: () => undefined },
    checkpointer: () => ({
      run: async () => {
        await nextTurn();
        runs++;
        // The first one was under way already, and has the whole.
        births.onCheckpoint(new Map([[leftId, runs === 1 ? 39 : 40]]));
      },
    }),
    reclaim: ({ storageId }: { storageId: number }) => reclaimed.push(storageId),
    isStopping: () => false,
    onFatal: (error: unknown) => {
      throw error;
    },
    replayed: [],
  } as never);
  const left = { rangeId: leftId, replicaId: 1, appliedIndex: 40 } as Replica;
  const birth = await births.prepare(left, descriptor);
  expect(birth).toBeUndefined();
  births.complete(left, { descriptor, storageId: 9 } as RangeState, birth);
  return { births, reclaimed, runs: () => runs };
}

it('rows of a right half that does not live here are kept until no crash can need them again', async () => {
  const { reclaimed, runs } = await leftBehind();
  expect(reclaimed).toEqual([]);
  while (runs() < 1) await nextTurn();
  expect(reclaimed).toEqual([]);
  while (runs() < 2) await nextTurn();
  expect(reclaimed).toEqual([9]);
});

it('they go with the left half, once that has left for good or has another state', async () => {
  const { births, reclaimed, runs } = await leftBehind();
  births.onSettled(rightId);
  expect(reclaimed).toEqual([]);
  births.onSettled(leftId);
  expect(reclaimed).toEqual([9]);
  while (runs() < 1) await nextTurn();
  expect(reclaimed).toEqual([9]);
});
