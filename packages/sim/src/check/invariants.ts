/**
 * What must hold at every moment, seen from above: the simulator looks into every store, at true time. Looked at every few
 * milliseconds, not after every event: a leader or a lease that lives shorter than that serves nobody.
 */

import { inspectStore } from '@flotilla/shard/testing';
import type { StoreMachine } from '../cluster/store-machine.ts';
import { SimFailure } from '../failure.ts';

interface Position {
  readonly life: number;
  readonly term: number;
  readonly commitIndex: number;
  readonly lastApplied: number;
}

export class Invariants {
  leaders = 0;
  private readonly machines: readonly StoreMachine[];
  /** By range and term. */
  private readonly leaderOf = new Map<string, string>();
  private readonly positions = new Map<string, Position>();
  /** Highest commit index that anybody had, by range. */
  private readonly committed = new Map<number, number>();

  constructor(machines: readonly StoreMachine[]) {
    this.machines = machines;
  }

  /** Throws SimFailure. */
  check(): void {
    const leases = new Map<number, string>();
    const fullLogs: { range: number; name: string; lastIndex: number }[] = [];
    for (const { store, host } of this.machines) {
      if (store === undefined) continue;
      for (const { raft } of inspectStore(store)) {
        const { rangeId, role, term, commitIndex, lastApplied, leaseValid, lastIndex } = raft;
        const { name } = host;
        if (role === 'leader') this.noteLeader(rangeId, term, name);
        this.checkMonotone(`r${rangeId} on ${name}`, {
          life: host.life,
          term,
          commitIndex,
          lastApplied,
        });
        this.committed.set(rangeId, Math.max(this.committed.get(rangeId) ?? 0, commitIndex));
        if (!leaseValid) continue;
        const other = leases.get(rangeId);
        if (other !== undefined)
          throw new SimFailure(
            'twoLeases',
            `r${rangeId}: ${other} and ${name} (t${term}) hold a lease`,
          );
        leases.set(rangeId, name);
        fullLogs.push({ range: rangeId, name, lastIndex });
      }
    }
    for (const { range, name, lastIndex } of fullLogs) {
      const committed = this.committed.get(range) ?? 0;
      if (lastIndex < committed)
        throw new SimFailure(
          'committedLost',
          `r${range}: ${name} leads with entries up to ${lastIndex}, but ${committed} was committed`,
        );
    }
  }

  private noteLeader(range: number, term: number, name: string): void {
    const key = `r${range}/t${term}`;
    const before = this.leaderOf.get(key);
    if (before === undefined) {
      this.leaderOf.set(key, name);
      this.leaders++;
    } else if (before !== name) {
      throw new SimFailure('twoLeaders', `${key}: ${before} and ${name}`);
    }
  }

  private checkMonotone(who: string, now: Position): void {
    const before = this.positions.get(who);
    this.positions.set(who, now);
    if (before === undefined || before.life !== now.life) return;
    if (
      now.term < before.term ||
      now.commitIndex < before.commitIndex ||
      now.lastApplied < before.lastApplied
    )
      throw new SimFailure(
        'monotone',
        `${who} went back: ${JSON.stringify(before)} to ${JSON.stringify(now)}`,
      );
  }
}

/** All replicas of every range stand at one position, with everything that the leader has. */
export function haveConverged(machines: readonly StoreMachine[], ranges: number): boolean {
  const last = new Map<number, number>();
  const leaders = new Set<number>();
  for (const { store } of machines) {
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
  for (const { store, host, engine } of machines) {
    if (store === undefined) continue;
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
