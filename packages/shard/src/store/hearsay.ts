/**
 * What other stores say of this one, when it asks everybody under its cluster's name: how far they heard its log to be,
 * and which cluster they belong to. Pure; `disk-check.ts` asks.
 */
import {
  clusterIdBytes,
  ExitCode,
  equalBytes,
  FatalError,
  type StoreId,
  toHex,
} from '@flotilla/base';
import type { Discovery } from '../placement/store-client.ts';
import { isOldCopy, type LogStart, type ToldLog } from './old-copy.ts';

export interface Self {
  readonly storeId: StoreId;
  readonly clusterId: Uint8Array;
  readonly start: LogStart;
  readonly unconfirmed: LogStart | undefined;
  /** The most that this life may have told. Undefined: it does not take part yet. */
  readonly toldBatch: number | undefined;
}

/** What somebody heard of a log that is longer than this one. */
export function provenOld(answers: readonly Discovery[], self: Self): ToldLog | undefined {
  for (const { clusterId, heardIncarnation, heardLogBatch } of answers) {
    if (heardLogBatch === 0 || !equalBytes(clusterId, self.clusterId)) continue;
    const told = { incarnation: heardIncarnation, logBatch: heardLogBatch };
    const ownWord = heardIncarnation === self.start.incarnation && self.toldBatch !== undefined;
    const isOld = ownWord
      ? heardLogBatch > (self.toldBatch ?? 0)
      : isOldCopy(told, self.start, self.unconfirmed);
    if (isOld) return told;
  }
  return undefined;
}

/**
 * Only meant for a store that does not reach its own first range. A stray must not drive away those that it strayed to: what
 * counts is who commits; and where stores of this one's cluster are there too, who is more.
 * @returns id of the cluster that runs here instead
 */
export function otherCluster(
  answers: readonly Discovery[],
  self: Pick<Self, 'storeId' | 'clusterId'>,
): Uint8Array | undefined {
  const [own, others] = [new Set<number>(), new Set<number>()];
  let other: Uint8Array | undefined;
  for (const { storeId, clusterId, commits } of answers) {
    if (clusterId.length !== clusterIdBytes) continue;
    if (equalBytes(clusterId, self.clusterId)) {
      if (commits) return undefined;
      if (storeId !== self.storeId) own.add(storeId);
    } else {
      others.add(storeId);
      if (commits) other = clusterId;
    }
  }
  return own.size < others.size ? other : undefined;
}

export function otherClusterError(
  self: Pick<Self, 'storeId' | 'clusterId'>,
  other: Uint8Array,
): FatalError {
  const [mine, theirs] = [toHex(self.clusterId), toHex(other)];
  return new FatalError(
    ExitCode.identityMismatch,
    `this disk is that of store ${self.storeId} of cluster ${mine}, but cluster ${theirs} is what runs under this name: ` +
      'mount the right directory, or give `--cluster` and `--nats` of the cluster that it belongs to',
    { storeId: self.storeId, clusterId: mine, found: theirs },
  );
}

/** Every one of `peers` has answered as a store of this cluster: nobody else has to be waited for. */
export function haveAnswered(
  peers: ReadonlySet<number>,
  answers: readonly Discovery[],
  own: Uint8Array,
): boolean {
  const found = new Set<number>();
  for (const { storeId, clusterId } of answers)
    if (peers.has(storeId) && equalBytes(clusterId, own)) found.add(storeId);
  return found.size === peers.size;
}
