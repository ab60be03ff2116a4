/** Worlds in which bugs of transactions are likely to be noticed. */
import { type TransactionSwarm, transactionWorkloads } from '../../swarm.ts';
import type { Hunt } from '../mutant.ts';

/** Short transactions on few keys. */
export const brisk: TransactionSwarm = {
  coordinators: 3,
  workers: 2,
  workloads: transactionWorkloads,
  keys: 3,
  readCommittedShare: 0.2,
  lockShare: 0.1,
  thinkMsMax: 5,
  brisk: 400,
};
export const world: NonNullable<Hunt['swarm']> = {
  stores: 3,
  ranges: 4,
  clients: 2,
  thinkMsMax: 50,
  faultsMs: 3000,
};

/** Little happens, but for transactions in each other's way. */
export const calm: Hunt = {
  only: ['slowLink', 'transfer'],
  swarm: { ...world, transactions: brisk },
};
export const leaders: Hunt = {
  only: ['transfer', 'transferStorm', 'crash', 'isolate', 'leaseWindow'],
  weights: { crash: 4 },
  swarm: { ...world, faultEveryMs: 150, transactions: brisk },
};
export const dying: Hunt = {
  only: ['crashCoordinator', 'slowLink', 'storm'],
  weights: { crashCoordinator: 4 },
  swarm: { ...world, faultEveryMs: 150, operationTimeoutMs: 1500, transactions: brisk },
};
/** A promise, or what follows it, comes late from coordinators that live, when others have given them up. */
export const late: Hunt = {
  only: ['stragglers'],
  swarm: {
    ...world,
    faultEveryMs: 40,
    operationTimeoutMs: 5000,
    delayMs: [5, 20],
    transactions: { ...brisk, workloads: ['bank', 'ring'], workers: 4, keys: 5 },
  },
};
export const silent: Hunt = {
  only: ['isolate', 'oneWay', 'crash', 'pause', 'storm'],
  swarm: { ...world, faultEveryMs: 150, operationTimeoutMs: 300, transactions: brisk },
};
export const skewed: Hunt = {
  only: ['clockStep', 'transfer', 'crash'],
  weights: { clockStep: 6 },
  swarm: { ...world, wallOffsetMsMax: 1000, transactions: brisk },
};
