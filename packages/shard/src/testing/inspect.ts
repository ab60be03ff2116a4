/** What stands inside a running store, for a simulator that sees everything: true state, without a message. */
import { assert } from '@flotilla/base';
import type { MultiRaft, RaftStatus } from '@flotilla/raft';
import { RunningStore } from '../store/running-store.ts';
import type { Store } from '../store/store-api.ts';

export interface ReplicaView {
  readonly rangeId: number;
  readonly raft: RaftStatus;
  /** Of the replicated state in memory; visible to reads a little later. */
  readonly appliedIndex: number;
  readonly skippedCommands: number;
  /** The session table as text: equal on replicas at equal positions. */
  readonly sessions: () => string;
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
      raft: status,
      appliedIndex: replica.appliedIndex,
      skippedCommands: replica.skippedCommands,
      sessions: () => JSON.stringify(replica.sessions.toRows()),
    });
  }
  return views;
}

/** The store's consensus driver, to ask for transfers. Undefined before founding. */
export function consensusOf(store: Store): MultiRaft | undefined {
  return insideOf(store).raft;
}

function insideOf(store: Store): ReturnType<RunningStore['inside']> {
  assert(store instanceof RunningStore, 'a store of openStore');
  return store.inside();
}
