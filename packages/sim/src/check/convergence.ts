/**
 * Replicated state machines: the same entries in the same order give the same state (Raft §2). When nothing is under way
 * any more, the members of a range have applied the same prefix, and then rows, sessions and descriptor are equal. Nobody
 * else holds anything of the range.
 */
import { timestampFromWallMs } from '@flotilla/base';
import { defaultStoreLimits } from '@flotilla/shard';
import { contentsOf, inspectStore, isReclaiming, uninitializedOf } from '@flotilla/shard/testing';
import type { StoreMachine } from '../cluster/store-machine.ts';
import { SimFailure } from '../failure.ts';

/**
 * Undefined: every range has a leader, and on every store that lives the replicas are those that the leader's
 * configuration names, and `atOnePosition` with everything that the leader has. Otherwise what is missing.
 */
export function notConverged(
  machines: readonly StoreMachine[],
  ranges: number,
  atOnePosition: boolean,
): string | undefined {
  const live = machines.filter(({ isDamaged, isMember }) => isMember && !isDamaged);
  const expected = new Map<string, number>();
  const leaders = new Set<number>();
  for (const { store, host } of live) {
    if (store === undefined) return `${host.name} is down`;
    for (const { raft } of inspectStore(store)) {
      if (raft.role !== 'leader') continue;
      leaders.add(raft.rangeId);
      for (const [replicaId, storeId] of raft.configuration?.storeOf ?? [])
        expected.set(`r${raft.rangeId}/${replicaId} on s${storeId}`, raft.lastIndex);
    }
  }
  if (leaders.size < ranges) return `${ranges - leaders.size} ranges have no leader`;
  let found = 0;
  for (const { store, storeId } of live) {
    if (store === undefined) continue;
    const uninitialized = uninitializedOf(store);
    if (uninitialized.length > 0)
      return `s${storeId} has replicas without a state: ${uninitialized}`;
    if (isReclaiming(store)) return `s${storeId} still deletes what replicas left behind`;
    for (const { raft } of inspectStore(store)) {
      const name = `r${raft.rangeId}/${raft.self} on s${storeId}`;
      const lastIndex = expected.get(name);
      if (lastIndex === undefined) return `${name} is there, and no member`;
      if (atOnePosition && (raft.lastApplied !== lastIndex || raft.lastIndex !== lastIndex))
        return `${name} has applied ${raft.lastApplied} of ${raft.lastIndex}, its leader has ${lastIndex}`;
      found++;
    }
  }
  return found === expected.size ? undefined : `${expected.size - found} members are missing`;
}

/** Replicas at one position have the same state. Call when nothing is missing. Throws SimFailure. */
export function checkSameState(machines: readonly StoreMachine[]): void {
  const states = new Map<number, { readonly name: string; readonly text: string }>();
  // A clock that was far ahead for a while has made its store forget, and snapshots carry what is left.
  const latestWallMs = Math.max(...machines.map(({ host }) => host.latestWallMs));
  const sweptBefore = timestampFromWallMs(latestWallMs - defaultStoreLimits.historyTtlMs);
  for (const machine of machines) {
    const { store, host, engine } = machine;
    if (store === undefined) continue;
    machine.mendRows();
    for (const { rangeId } of inspectStore(store)) {
      const contents = contentsOf(store, engine, rangeId, sweptBefore);
      if (contents === undefined) continue;
      const { text, appliedIndex, strangers } = contents;
      if (strangers > 0)
        throw new SimFailure(
          'divergence',
          `r${rangeId} on ${host.name}: ${strangers} strange rows`,
        );
      const other = states.get(rangeId);
      if (other === undefined) states.set(rangeId, { name: host.name, text });
      else if (other.text !== text)
        throw new SimFailure(
          'divergence',
          `r${rangeId} at i${appliedIndex}: ${other.name} and ${host.name} differ:\n${other.text.slice(0, 3000)}\n${text.slice(0, 3000)}`,
        );
    }
  }
}
