/** What stands inside a running store, for a simulator that sees everything: true state, without a message. */
import { createHash } from 'node:crypto';
import { assert } from '@flotilla/base';
import type { MultiRaft, RaftStatus } from '@flotilla/raft';
import type { flotilla } from '../../gen/kv.js';
import type { MembershipGoal } from '../membership/next-step.ts';
import type { RangeDescriptor } from '../range-descriptor.ts';
import type { SplitResult } from '../split/splits.ts';
import {
  dataPrefixBytes,
  isHistory,
  spansOfStorage,
  supersededAtOf,
  userKeyOf,
} from '../state/storage-keys.ts';
import { storedPayload, storedTimestamp } from '../state/stored-value.ts';
import { TransactionStatus } from '../state/transaction-rows.ts';
import type { TransactionState } from '../state/transaction-state.ts';
import { RunningStore } from '../store/running-store.ts';
import type { Store } from '../store/store-api.ts';
import { keyOfHistory } from '../transaction/history.ts';
import type { MemoryEngine } from './memory-engine.ts';

export interface ReplicaView {
  readonly rangeId: number;
  readonly descriptor: RangeDescriptor;
  readonly raft: RaftStatus;
  /** Of the replicated state in memory; visible to reads a little later. */
  readonly appliedIndex: number;
  readonly skippedCommands: number;
  /** As counted: of newest versions, and of older ones. */
  readonly liveBytes: number;
  readonly historyBytes: number;
  /** The session table as text: equal on replicas at equal positions. */
  readonly sessions: () => string;
  /** Intents and records in memory, as text: equal on replicas at equal positions. */
  readonly transactions: () => string;
}

/** One view per replica. [] before the store is founded. */
export function inspectStore(store: Store): readonly ReplicaView[] {
  const { raft, replicas } = insideOf(store);
  if (raft === undefined) return [];
  const views: ReplicaView[] = [];
  for (const replica of replicas.values()) {
    const status = raft.status(replica.rangeId);
    if (status === undefined) continue;
    views.push({
      rangeId: replica.rangeId,
      descriptor: replica.descriptor,
      raft: status,
      appliedIndex: replica.appliedIndex,
      skippedCommands: replica.skippedCommands,
      liveBytes: replica.liveBytes,
      historyBytes: replica.historyBytes,
      sessions: () => JSON.stringify(replica.sessions.toRows()),
      transactions: () => textOf(replica.transactions),
    });
  }
  return views;
}

function textOf({ intents, records }: TransactionState): string {
  const rows = [...intents.entries(), ...records].map(([name, { stored }]) => [
    name,
    stored.toString('hex'),
  ]);
  return JSON.stringify(rows.sort(([a = ''], [b = '']) => (a < b ? -1 : 1)));
}

export interface RangeContents {
  readonly appliedIndex: number;
  /** Everything that the log determines, as text: equal on replicas at equal positions. */
  readonly text: string;
  /** Rows under its storage id that belong to no range: a leak, unless the store `isReclaiming`. */
  readonly strangers: number;
}

/**
 * What one replica holds: descriptor, sessions, rows and history, without what differs by replica. Meaningful when no
 * write is under way. Undefined: no replica with a state here.
 * @param sweptBefore what was superseded before this may be gone, as the clock of each store has it, and is left out
 */
export function contentsOf(
  store: Store,
  engine: MemoryEngine,
  rangeId: number,
  sweptBefore = 0,
): RangeContents | undefined {
  const replica = insideOf(store).replicas.get(rangeId);
  if (replica === undefined) return undefined;
  const { descriptor, sessions, lastTimestamp, appliedIndex, storageId } = replica;
  const hash = createHash('sha256');
  let rows = 0;
  let strangers = 0;
  const { startKey, endKey } = descriptor;
  for (const span of spansOfStorage(storageId)) strangers += engine.rows(span).length;
  for (const other of insideOf(store).replicas.values()) {
    if (other.storageId !== storageId) continue;
    const { descriptor } = other;
    for (const span of other.space.spansOf(descriptor.startKey, descriptor.endKey))
      strangers -= engine.rows(span).length;
  }
  for (const span of replica.space.spansOf(startKey, endKey))
    for (const { key, value } of engine.rows(span)) {
      if (isHistory(key) && supersededAtOf(key) < sweptBefore) continue;
      hash.update(key.subarray(0, 1)).update(key.subarray(dataPrefixBytes)).update(value);
      rows++;
    }
  const text = JSON.stringify({
    // A key is the same whether it came off the wire or out of memory.
    descriptor: { ...descriptor, startKey: Buffer.from(startKey), endKey: Buffer.from(endKey) },
    lastTimestamp,
    sessions: sessions.toRows(),
    rows,
    digest: hash.digest('hex'),
  });
  return { appliedIndex, text, strangers };
}

/** Replicas without a state, by range. */
export function uninitializedOf(store: Store): readonly number[] {
  return [...(insideOf(store).membership?.lifecycle.uninitialized.keys() ?? [])];
}

/** Rows of replicas that are gone are still being deleted. */
export function isReclaiming(store: Store): boolean {
  return insideOf(store).membership?.isReclaiming ?? false;
}

/** Changes the members of a range that this store leads, as a `ChangeReplicasRequest` does. */
export async function changeReplicas(
  store: Store,
  rangeId: number,
  goal: MembershipGoal,
): Promise<flotilla.kv.Response.$Properties> {
  const { membership, replicas } = insideOf(store);
  const replica = replicas.get(rangeId);
  assert(membership !== undefined && replica !== undefined, 'a replica of the range', { rangeId });
  return membership.change(replica, goal);
}

/** Cuts a range that this store leads, as a `SplitRequest` does. */
export async function splitRange(
  store: Store,
  rangeId: number,
  key: Uint8Array,
): Promise<SplitResult> {
  const { splits, replicas } = insideOf(store);
  const replica = replicas.get(rangeId);
  assert(splits !== undefined && replica !== undefined, 'a replica of the range', { rangeId });
  return splits.split(replica, key);
}

/** From now on the store writes no row of its own, and places nothing: the first range can come to rest. */
export function stopPlacement(store: Store): void {
  insideOf(store).placement?.stop();
}

/** The store's consensus driver, to ask for transfers. Undefined before founding. */
export function consensusOf(store: Store): MultiRaft | undefined {
  return insideOf(store).raft;
}

function insideOf(store: Store): ReturnType<RunningStore['inside']> {
  assert(store instanceof RunningStore, 'a store of openStore');
  return store.inside();
}

/** A version that a key has, or has had. */
export interface VersionView {
  readonly key: Buffer;
  readonly timestamp: number;
  /** When it ceased to be the newest; 0: it has not. */
  readonly supersededAt: number;
  readonly value: Buffer;
}

/** All versions of a range's keys as one replica has them, before old ones are swept. Unordered. */
export function versionsOf(
  store: Store,
  engine: MemoryEngine,
  rangeId: number,
): readonly VersionView[] {
  const replica = insideOf(store).replicas.get(rangeId);
  if (replica === undefined) return [];
  const { space, descriptor } = replica;
  const { startKey, endKey } = descriptor;
  const versions: VersionView[] = [];
  const add = (key: Buffer, stored: Buffer, supersededAt: number): void => {
    versions.push({
      key,
      timestamp: storedTimestamp(stored),
      supersededAt,
      value: storedPayload(stored),
    });
  };
  for (const { key, value } of engine.rows(space.dataSpan(startKey, endKey)))
    add(userKeyOf(key), value, 0);
  for (const { key, value } of engine.rows(space.historySpan(startKey, endKey)))
    add(keyOfHistory(key), value, supersededAtOf(key));
  return versions;
}

/** What transactions have at a leaseholder. */
export interface TransactionsView {
  readonly rangeId: number;
  /** Intents, as text. */
  readonly intents: readonly string[];
  /** Records of transactions that are not decided or not resolved, and marks of intents that were resolved before. */
  readonly unfinished: readonly string[];
  /** Keys with a lock or a queue. */
  readonly locks: number;
}

/** One view per range that this store leads. */
export function transactionsAt(store: Store): readonly TransactionsView[] {
  const views: TransactionsView[] = [];
  for (const { rangeId, leaseholder, transactions } of insideOf(store).replicas.values()) {
    if (leaseholder === undefined) continue;
    const { intents, records, undecided } = transactions;
    const { TRANSACTION_RESOLVED } = TransactionStatus;
    views.push({
      rangeId,
      intents: [...intents.values()].map(
        ({ key, transaction, timestamp }) =>
          `${key.toString('latin1')} of ${Buffer.from(transaction, 'latin1').toString('hex')} at ${timestamp}`,
      ),
      unfinished: [...records]
        .filter(([name, { status }]) => undecided.has(name) || status === TRANSACTION_RESOLVED)
        .map(
          ([, { key, transaction, status, commitTimestamp, promisedKeys }]) =>
            `${TransactionStatus[status]} beside ${key.toString('latin1')} of ${Buffer.from(transaction, 'latin1').toString('hex')} at ${commitTimestamp}, ${promisedKeys.length} promises`,
        ),
      locks: leaseholder.locks.size,
    });
  }
  return views;
}
