/**
 * Replicated state machines: the same entries in the same order give the same state (Raft §2). When nothing is under way
 * any more, replicas of a range have applied the same prefix, and then rows and sessions are equal.
 */
import { inspectStore } from '@flotilla/shard/testing';
import type { StoreMachine } from '../cluster/store-machine.ts';
import { SimFailure } from '../failure.ts';

/** All replicas of every range stand at one position, with everything that the leader has. */
export function haveConverged(machines: readonly StoreMachine[], ranges: number): boolean {
  const last = new Map<number, number>();
  const leaders = new Set<number>();
  for (const { store, isDamaged } of machines) {
    if (isDamaged) continue;
    if (store === undefined) return false;
    for (const { raft } of inspectStore(store)) {
      if (raft.role === 'leader') leaders.add(raft.rangeId);
      if (raft.lastApplied !== raft.lastIndex || raft.commitIndex !== raft.lastIndex) return false;
      const other = last.get(raft.rangeId);
      if (other !== undefined && other !== raft.lastIndex) return false;
      last.set(raft.rangeId, raft.lastIndex);
    }
  }
  return leaders.size === ranges;
}

/** Replicas at one position have the same rows and sessions. Call when `haveConverged`. Throws SimFailure. */
export function checkSameState(machines: readonly StoreMachine[]): void {
  const states = new Map<number, { readonly name: string; readonly state: string }>();
  for (const machine of machines) {
    const { store, host, engine } = machine;
    if (store === undefined) continue;
    machine.mendRows();
    const rows = new Map<number, string[]>();
    for (const { key, value } of engine.rows()) {
      if (key[0] !== dataTag) continue;
      const range = key.readUInt32BE(1);
      let list = rows.get(range);
      if (list === undefined) {
        list = [];
        rows.set(range, list);
      }
      list.push(`${key.toString('hex')}=${value.toString('hex')}`);
    }
    for (const view of inspectStore(store)) {
      const data = (rows.get(view.rangeId) ?? []).join('\n');
      const state = `${data}\n${view.sessions()}`;
      const other = states.get(view.rangeId);
      if (other === undefined) states.set(view.rangeId, { name: host.name, state });
      else if (other.state !== state)
        throw new SimFailure(
          'divergence',
          `r${view.rangeId} at i${view.appliedIndex}: ${other.name} and ${host.name} differ:\n${firstDifference(other.state, state)}`,
        );
    }
  }
}

/** Newest versions; founding ranges use their own id as storage id. `storage-keys.ts` of shard. */
const dataTag = 0x64;

function firstDifference(a: string, b: string): string {
  const left = a.split('\n');
  const right = b.split('\n');
  const at = left.findIndex((line, i) => line !== right[i]);
  return `${left[at]?.slice(0, 2000)}\n${right[at]?.slice(0, 2000)}`;
}
