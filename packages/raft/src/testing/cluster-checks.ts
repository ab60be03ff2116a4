/**
 * What must hold across the replicas of one group, whatever the network, the disks and the clocks do: the five
 * properties of Raft Figure 3, durability of what is committed, disjoint leases, and linearizable reads. Sees
 * everything, changes nothing, throws InvariantViolation at the first breach.
 */
import { assert, type ReplicaId } from '@flotilla/base';
import type { RaftMachine } from '../core/core.ts';
import { majorityOf, membersOf } from '../core/quorum.ts';
import type { Ready } from '../core/raft-core.ts';
import type { Configuration, LogEntry, RequestVoteResponse } from '../messages.ts';
import type { MemoryLogStorage } from './memory-log-storage.ts';

interface KnownEntry {
  readonly prevTerm: number;
  readonly kind: string;
  readonly payload: number;
}

interface CommittedEntry {
  readonly term: number;
  /** Term of the leader that committed it. */
  readonly byTerm: number;
}

/** The number that a command of the harness carries; 0 for other entries. */
export function payloadOf(entry: LogEntry): number {
  if (entry.kind !== 'command') return 0;
  const { data } = entry;
  return new DataView(data.buffer, data.byteOffset, data.length).getUint32(0);
}

interface ActiveConfiguration {
  readonly index: number;
  readonly configuration: Configuration;
}

function activeOf(core: RaftMachine): ActiveConfiguration {
  const { configurations, configuration } = core.state;
  return { index: configurations.activeIndex, configuration };
}

/** By trying every set of members: no majority of one is disjoint from a majority of the other. */
export function quorumsOverlap(one: Configuration, other: Configuration): boolean {
  const members = [...new Set([...membersOf(one), ...membersOf(other)])];
  const isQuorum = (configuration: Configuration, subset: number, wanted: number): boolean =>
    [configuration.voters, configuration.votersOutgoing].every((set) => {
      let count = 0;
      for (const voter of set) if (((subset >> members.indexOf(voter)) & 1) === wanted) count++;
      return set.length === 0 || count >= majorityOf(set.length);
    });
  for (let subset = 0; subset < 1 << members.length; subset++)
    if (isQuorum(one, subset, 1) && isQuorum(other, subset, 0)) return false;
  return true;
}

export class ClusterChecks {
  private readonly leaders = new Map<number, ReplicaId>();
  private readonly votes = new Map<string, ReplicaId>();
  private readonly known = new Map<string, KnownEntry>();
  /** committed[i - 1] is the entry at index i. */
  private readonly committed: CommittedEntry[] = [];
  private readonly applied: { readonly term: number; readonly payload: number }[] = [];
  /** What each replica's last step left in force. */
  private readonly configurations = new Map<ReplicaId, ActiveConfiguration>();
  /** Configurations that leaders have appended. */
  changes = 0;
  /** The newest index that some client knows to have taken effect. */
  private floor = 0;

  /** Newest committed index that any leader has seen. */
  get committedIndex(): number {
    return this.committed.length;
  }

  /** Called after every step of a core, with the disks of all replicas. */
  afterStep(core: RaftMachine, disks: ReadonlyMap<ReplicaId, MemoryLogStorage>): void {
    const { state } = core;
    const before = this.configurations.get(state.self) ?? activeOf(core);
    if (state.role.kind === 'leader') this.checkLeader(core, before);
    const { commitIndex } = state;
    if (commitIndex > this.committed.length && state.role.kind === 'leader')
      assert(
        state.log.term(commitIndex) === state.currentTerm,
        'only entries of the current term commit by counting (§5.4.2)',
        { leader: state.self, term: state.currentTerm, index: commitIndex },
      );
    for (let i = this.committed.length + 1; i <= commitIndex; i++) {
      const term = state.log.term(i);
      const isOn = (replica: ReplicaId): boolean => {
        const disk = disks.get(replica);
        if (disk === undefined) return false;
        return disk.firstIndex() > i || (disk.lastIndex() >= i && disk.entry(i).term === term);
      };
      // The configuration that was in force when the step began is the one that counted.
      const { voters, votersOutgoing } = before.configuration;
      for (const set of [voters, votersOutgoing]) {
        const copies = set.filter(isOn).length;
        assert(
          set.length === 0 || copies >= majorityOf(set.length),
          'a committed entry is on the disks of a majority',
          { index: i, term, copies, set, by: state.self },
        );
      }
      this.committed.push({ term, byTerm: state.currentTerm });
    }
    const last = this.committed[commitIndex - 1];
    if (last !== undefined && commitIndex >= state.log.firstIndex)
      assert(state.log.term(commitIndex) === last.term, 'replicas commit the same entries', {
        index: commitIndex,
        at: state.self,
      });
    this.checkChange(core, before);
  }

  /** What a restarted replica counts by is what its log says. */
  onStart(core: RaftMachine): void {
    this.configurations.set(core.self, activeOf(core));
  }

  /** One change at a time, after an entry of the own term, and such that majorities overlap (§6, thesis §4.1). */
  private checkChange(core: RaftMachine, before: ActiveConfiguration): void {
    const { state } = core;
    const after = activeOf(core);
    if (after.index === before.index && after.configuration === before.configuration) return;
    this.configurations.set(state.self, after);
    const { role } = state;
    if (role.kind !== 'leader') return;
    this.changes++;
    const facts = { leader: state.self, term: state.currentTerm, index: after.index };
    assert(
      state.commitIndex >= role.termStartIndex,
      'no change before an entry of the term is committed (thesis §4.1)',
      facts,
    );
    assert(before.index <= this.committed.length, 'one change at a time (thesis §4.3)', facts);
    const overlap = quorumsOverlap(before.configuration, after.configuration);
    assert(overlap, 'majorities of successive configurations overlap (§6)', facts);
  }

  /** Log Matching: an index and a term name one entry, with one entry before it (by induction, one whole prefix). */
  onEntries(core: RaftMachine, ready: Ready): void {
    const first = ready.entries[0];
    if (first === undefined) return;
    let prevTerm: number | undefined;
    for (const entry of ready.entries) {
      const key = `${entry.term}/${entry.index}`;
      const before = this.known.get(key);
      if (before === undefined) {
        prevTerm ??= core.state.log.term(entry.index - 1);
        this.known.set(key, { prevTerm, kind: entry.kind, payload: payloadOf(entry) });
      } else {
        const same = before.kind === entry.kind && before.payload === payloadOf(entry);
        assert(same, 'log matching: one entry per index and term', { key });
        if (prevTerm !== undefined)
          assert(before.prevTerm === prevTerm, 'log matching: one predecessor', { key });
      }
      prevTerm = entry.term;
    }
  }

  /** State Machine Safety: nobody applies another entry at the same index. */
  onApplied(entry: LogEntry, at: ReplicaId): void {
    const before = this.applied[entry.index - 1];
    if (before === undefined) {
      assert(entry.index === this.applied.length + 1, 'entries are applied in order');
      this.applied.push({ term: entry.term, payload: payloadOf(entry) });
      return;
    }
    const same = before.term === entry.term && before.payload === payloadOf(entry);
    assert(same, 'state machine safety: one entry per applied index', { index: entry.index, at });
  }

  /** State Machine Safety for those who skip entries: somebody has applied them. */
  onSnapshotApplied(index: number, term: number, at: ReplicaId): void {
    const there = this.applied[index - 1];
    assert(there?.term === term, 'a snapshot holds what was applied', { index, term, at });
  }

  /** A replica votes for one candidate per term, also across restarts (§5.2). */
  onVote(vote: RequestVoteResponse): void {
    if (!vote.voteGranted) return;
    const key = `${vote.term}/${vote.from}`;
    const before = this.votes.get(key);
    const facts = { term: vote.term, from: vote.from, to: [before, vote.to] };
    assert(before === undefined || before === vote.to, 'one vote per term (§5.2)', facts);
    this.votes.set(key, vote.to);
  }

  /** At most one replica may believe in its lease, paused ones included. */
  checkLeases(one: ReplicaId | undefined, other: ReplicaId): void {
    assert(one === undefined, 'leases are disjoint', { holders: [one, other] });
  }

  /** A client begins an operation: it must see what the returned index names. */
  invoke(): number {
    return this.floor;
  }

  onWriteAcknowledged(index: number, floorAtInvoke: number): void {
    assert(index > floorAtInvoke, 'a write comes after what was seen before it', { index });
    this.floor = Math.max(this.floor, index);
  }

  onRead(read: {
    readonly appliedIndex: number;
    readonly floorAtInvoke: number;
    readonly how: string;
    readonly at: ReplicaId;
  }): void {
    assert(read.appliedIndex >= read.floorAtInvoke, 'reads are linearizable', read);
    this.floor = Math.max(this.floor, read.appliedIndex);
  }

  private checkLeader(core: RaftMachine, { configuration }: ActiveConfiguration): void {
    const { state } = core;
    const known = this.leaders.get(state.currentTerm);
    if (known !== undefined) {
      assert(known === state.self, 'election safety: one leader per term', {
        term: state.currentTerm,
        leaders: [known, state.self],
      });
      return;
    }
    this.leaders.set(state.currentTerm, state.self);
    for (const set of [configuration.voters, configuration.votersOutgoing]) {
      const voted = set.filter(
        (voter) =>
          voter === state.self || this.votes.get(`${state.currentTerm}/${voter}`) === state.self,
      );
      assert(
        set.length === 0 || voted.length >= majorityOf(set.length),
        'a leader has the votes of every majority (§6)',
        { leader: state.self, term: state.currentTerm, set, voted },
      );
    }
    for (let i = state.log.firstIndex as number; i <= this.committed.length; i++) {
      const entry = this.committed[i - 1];
      if (entry === undefined || entry.byTerm >= state.currentTerm) continue;
      const there = i <= state.log.lastIndex && state.log.term(i) === entry.term;
      assert(there, 'leader completeness: a leader has what was committed before', {
        leader: state.self,
        term: state.currentTerm,
        index: i,
      });
    }
  }
}
