/** Every property must be able to fail: hand-made replicas that break one each. */
import { type ReplicaId, type StoreId, toReplicaId, toStoreId } from '@flotilla/base';
import { type Configuration, encodeConfiguration } from '@flotilla/raft';
import type { GroupInside } from '@flotilla/raft/testing';
import { describe, expect, it } from 'vitest';
import type { StoreMachine } from '../cluster/store-machine.ts';
import { checkQuorumIsHeard } from './check-quorum.ts';
import { checkCommitted, checkLeaderCompleteness } from './committed.ts';
import { checkConfigurations, faultOf } from './configurations.ts';
import { checkCommitIsDurable, checkSurvived } from './durability.ts';
import { checkElectionSafety } from './election-safety.ts';
import { Leases } from './leases.ts';
import { RangeLedger, ReplicaMemory } from './ledger.ts';
import { checkLog } from './log-matching.ts';
import { checkMonotonic } from './monotonic.ts';
import { checkReadRounds } from './read-rounds.ts';

interface Entry {
  readonly term: number;
  readonly data?: string;
  readonly configuration?: Configuration;
}

interface Replica {
  readonly term?: number;
  readonly role?: 'leader' | 'follower';
  /** The first has index 1. */
  readonly entries?: readonly Entry[];
  readonly commitIndex?: number;
  readonly lastApplied?: number;
  readonly persistedIndex?: number;
  readonly votedFor?: number;
  readonly lease?: boolean;
  readonly readRounds?: { readonly sent: number; readonly confirmed: number };
  readonly configuration?: Configuration;
}

function inside(of: Replica): GroupInside {
  const entries = of.entries ?? [];
  const log = {
    firstIndex: 1,
    lastIndex: entries.length,
    term: (index: number) => entries[index - 1]?.term ?? 0,
    slice: (from: number, to: number) =>
      entries.slice(from - 1, to - 1).map(({ term, data = 'x', configuration }, i) => ({
        index: from + i,
        term,
        kind: configuration === undefined ? 'command' : 'configuration',
        data: configuration === undefined ? Buffer.from(data) : encodeConfiguration(configuration),
      })),
  };
  const state = {
    currentTerm: of.term ?? 1,
    role: {
      kind: of.role ?? 'follower',
      reads: {
        sentSequence: of.readRounds?.sent ?? 0,
        confirmedSequence: of.readRounds?.confirmed ?? 0,
      },
    },
    votedFor: of.votedFor,
    commitIndex: of.commitIndex ?? 0,
    lastApplied: of.lastApplied ?? 0,
    log,
    persistence: {
      persistedIndex: of.persistedIndex ?? entries.length,
      inFlightCount: 0,
      voteOrTermChanged: () => false,
    },
  };
  const configuration = of.configuration ?? ofVoters(1, 2, 3);
  const core = { configuration, leaseValid: () => of.lease === true };
  return { state, core } as unknown as GroupInside;
}

function ofVoters(...voters: number[]): Configuration {
  return joint(voters, []);
}

function joint(voters: number[], outgoing: number[], learners: number[] = []): Configuration {
  const ids = (numbers: number[]): ReplicaId[] => numbers.map(toReplicaId);
  const members = [...new Set([...voters, ...outgoing, ...learners])];
  const storeOf = new Map<ReplicaId, StoreId>(
    members.map((id) => [toReplicaId(id), toStoreId(id)]),
  );
  return { voters: ids(voters), votersOutgoing: ids(outgoing), learners: ids(learners), storeOf };
}

const ledger = new RangeLedger(1);

/** A range of three replicas, each with a memory. */
function range(): { ledger: RangeLedger; replicas: [ReplicaMemory, ReplicaMemory, ReplicaMemory] } {
  const fresh = new RangeLedger(1);
  const make = (id: number): ReplicaMemory => {
    const memory = new ReplicaMemory(1, id, `store-${id}`, {});
    memory.configuration = ofVoters(1, 2, 3);
    fresh.replicas.set(id, memory);
    return memory;
  };
  return { ledger: fresh, replicas: [make(1), make(2), make(3)] };
}

/** As `invariants.ts` does it for one replica. */
function look(of: RangeLedger, memory: ReplicaMemory, replica: Replica): void {
  const group = inside(replica);
  checkLog(of, memory, group, memory.life < 0);
  checkCommitted(of, memory, group);
  memory.life = 1;
  memory.term = group.state.currentTerm;
  memory.commitIndex = group.state.commitIndex;
  memory.persistedIndex = group.state.persistence.persistedIndex;
}

describe('Election Safety', () => {
  it('two leaders of one term', () => {
    const { ledger, replicas } = range();
    const leader = inside({ term: 2, role: 'leader' });
    checkElectionSafety(ledger, replicas[0], leader);
    checkElectionSafety(ledger, replicas[0], leader);
    checkElectionSafety(ledger, replicas[1], inside({ term: 3, role: 'leader' }));
    expect(() => checkElectionSafety(ledger, replicas[1], leader)).toThrow(/store-1 and .*store-2/);
  });

  it('a vote that was on disk and is another one now, or none', () => {
    const { ledger, replicas } = range();
    const vote = (term: number, votedFor?: number): void =>
      checkElectionSafety(
        ledger,
        replicas[0],
        inside(votedFor === undefined ? { term } : { term, votedFor }),
      );
    vote(2, 1);
    expect(() => vote(2, 3)).toThrow(/voted for 1 in t2, and now for 3/);
    expect(() => vote(2)).toThrow(/voted for 1/);
    expect(() => vote(1)).toThrow(/is in t1; t2 was on its disk/);
    vote(3, 3);
  });
});

describe('Log Matching and Leader Append-Only', () => {
  it('one index and term, two entries', () => {
    const { ledger, replicas } = range();
    look(ledger, replicas[0], { entries: [{ term: 1 }, { term: 1, data: 'a' }] });
    expect(() =>
      look(ledger, replicas[1], { entries: [{ term: 1 }, { term: 1, data: 'b' }] }),
    ).toThrow(/another entry at t1\/i2/);
  });

  it('one entry after two different ones', () => {
    const { ledger, replicas } = range();
    look(ledger, replicas[0], { entries: [{ term: 1 }, { term: 3 }] });
    expect(() => look(ledger, replicas[1], { entries: [{ term: 2 }, { term: 3 }] })).toThrow(
      /after t2\) than a log before it \(after t1\)/,
    );
  });

  it('a leader shortens its log; a follower may', () => {
    const { ledger, replicas } = range();
    const [one, two] = replicas;
    const entries = [{ term: 1 }, { term: 1 }];
    look(ledger, one, { role: 'leader', entries });
    look(ledger, two, { entries });
    look(ledger, two, { entries: [{ term: 1 }] });
    expect(() => look(ledger, one, { role: 'leader', entries: [{ term: 1 }] })).toThrow(
      /removed entries above 1/,
    );
  });
});

describe('State Machine Safety and Leader Completeness', () => {
  it('two entries are committed at one index', () => {
    const { ledger, replicas } = range();
    look(ledger, replicas[0], { entries: [{ term: 1 }], commitIndex: 1 });
    expect(() =>
      look(ledger, replicas[1], { term: 2, entries: [{ term: 2 }], commitIndex: 1 }),
    ).toThrow(/commits t2\/i1; elsewhere i1 was committed with t1/);
  });

  it('a later leader without a committed entry; a deposed one need not have it', () => {
    const { ledger, replicas } = range();
    look(ledger, replicas[0], { term: 2, entries: [{ term: 1 }, { term: 2 }], commitIndex: 2 });
    const old: Replica = { term: 1, role: 'leader', entries: [{ term: 1 }] };
    look(ledger, replicas[1], old);
    checkLeaderCompleteness(ledger, replicas[1], inside(old));
    const next: Replica = { term: 3, role: 'leader', entries: [{ term: 1 }] };
    look(ledger, replicas[2], next);
    expect(() => checkLeaderCompleteness(ledger, replicas[2], inside(next))).toThrow(
      /leads t3 without t2\/i2/,
    );
  });
});

describe('durability', () => {
  it('a commit that one disk of three holds', () => {
    const { ledger, replicas } = range();
    const entries = [{ term: 1 }];
    look(ledger, replicas[1], { entries, persistedIndex: 0 });
    look(ledger, replicas[0], { role: 'leader', entries, commitIndex: 1 });
    expect(() => checkCommitIsDurable(ledger)).toThrow(/on disk of r1\/1 on store-1; voters 1,2,3/);
  });

  it('a commit that two disks hold, one of them of a dead process', () => {
    const { ledger, replicas } = range();
    const entries = [{ term: 1 }];
    look(ledger, replicas[1], { entries });
    look(ledger, replicas[0], { role: 'leader', entries, commitIndex: 1 });
    expect(() => checkCommitIsDurable(ledger)).not.toThrow();
  });

  it('in joint consensus both majorities are needed', () => {
    const { ledger, replicas } = range();
    const both = joint([1, 4, 5], [1, 2, 3]);
    for (const each of replicas) each.configuration = both;
    const entries = [{ term: 1 }];
    look(ledger, replicas[1], { entries });
    look(ledger, replicas[2], { entries });
    look(ledger, replicas[0], { role: 'leader', entries, commitIndex: 1 });
    expect(() => checkCommitIsDurable(ledger)).toThrow(/voters 1,4,5\/1,2,3/);
  });

  it('a joint configuration decides on itself, whatever its leader has gone on to since', () => {
    const { ledger, replicas } = range();
    const both = joint([1, 2, 4], [1, 2, 3]);
    const after = ofVoters(1, 2, 4);
    const entries = [{ term: 1, configuration: both }];
    const newcomer = new ReplicaMemory(1, 4, 'store-4', {});
    ledger.replicas.set(4, newcomer);
    look(ledger, newcomer, { entries });
    replicas[0].configuration = after;
    const further = [...entries, { term: 1, configuration: after }];
    look(ledger, replicas[0], { role: 'leader', entries: further, commitIndex: 1 });
    expect(() => checkCommitIsDurable(ledger)).toThrow(/voters 1,2,4\/1,2,3/);
  });

  it('an entry that was on disk is gone when the log is opened', () => {
    const { ledger, replicas } = range();
    look(ledger, replicas[0], { entries: [{ term: 1 }, { term: 2 }], persistedIndex: 2 });
    checkSurvived(replicas[0], inside({ entries: [{ term: 1 }, { term: 2 }] }));
    expect(() => checkSurvived(replicas[0], inside({ entries: [{ term: 1 }] }))).toThrow(
      /had t2\/i2 on its disk, and opened with nothing/,
    );
  });
});

describe('CheckQuorum', () => {
  const heard = { 1: Number.POSITIVE_INFINITY, 2: 0, 3: 0 };
  function lookAt(memory: ReplicaMemory, now: number, configuration: Configuration): void {
    const voterSets = [configuration.voters, configuration.votersOutgoing]
      .filter((voters) => voters.length > 0)
      .map((voters) =>
        voters.map((id) => ({ coverage: 'none', lastHeardMs: heard[Number(id) as 1 | 2 | 3] })),
      );
    const state = {
      currentTerm: 1,
      role: { kind: 'leader', voterSets },
      timings: { electionTimeoutMs: 1000 },
    };
    const host = { isPaused: false, timersLateMs: 0 };
    const machine = { nowMs: () => now, host } as unknown as StoreMachine;
    checkQuorumIsHeard(
      memory,
      { state, core: { configuration } } as unknown as GroupInside,
      machine,
    );
  }

  it('a leader goes on that no majority answers', () => {
    const [memory] = range().replicas;
    const voters = ofVoters(1, 2, 3);
    lookAt(memory, 0, voters);
    lookAt(memory, 2200, voters);
    expect(() => lookAt(memory, 2300, voters)).toThrow(/no majority has answered for 2300 ms/);
  });

  it('a majority that counts only now gets its time', () => {
    const [memory] = range().replicas;
    lookAt(memory, 0, ofVoters(1));
    lookAt(memory, 5000, ofVoters(1));
    const both = joint([2, 3], [1]);
    lookAt(memory, 5100, both);
    lookAt(memory, 7200, both);
    expect(() => lookAt(memory, 7400, both)).toThrow(/no majority has answered for 7400 ms/);
  });
});

describe('leases and positions', () => {
  it('two leases at one instant', () => {
    const { replicas } = range();
    const leases = new Leases();
    leases.add(ledger, replicas[0], inside({ role: 'leader', lease: true }), 0);
    leases.add(ledger, replicas[1], inside({ role: 'leader' }), 0);
    expect(() =>
      leases.add(ledger, replicas[2], inside({ role: 'leader', lease: true }), 0),
    ).toThrow(/hold a lease/);
  });

  it('a leaseholder without what was committed', () => {
    const { ledger, replicas } = range();
    look(ledger, replicas[0], { entries: [{ term: 1 }], commitIndex: 1 });
    const leases = new Leases();
    leases.add(ledger, replicas[1], inside({ role: 'leader', lease: true }), 0);
    expect(() => leases.check()).toThrow(/entries up to 0, but 1 was committed/);
  });

  it('a replaced leader confirms a round that it sent later; not one that was on its way', () => {
    const { ledger, replicas } = range();
    const old = (sent: number, confirmed: number): void =>
      checkReadRounds(
        ledger,
        replicas[1],
        inside({ term: 1, role: 'leader', readRounds: { sent, confirmed } }),
      );
    old(6, 5);
    look(ledger, replicas[0], { term: 2, entries: [{ term: 2 }], commitIndex: 1 });
    old(7, 5);
    old(8, 7);
    expect(() => old(9, 8)).toThrow(/confirms read round 8; it had sent 7 when t2 was committed/);
    expect(() =>
      checkReadRounds(
        ledger,
        replicas[1],
        inside({ term: 3, role: 'leader', readRounds: { sent: 9, confirmed: 9 } }),
      ),
    ).not.toThrow();
  });

  it('a commit index that falls, entries applied before they are committed', () => {
    const { replicas } = range();
    replicas[0].commitIndex = 3;
    expect(() => checkMonotonic(replicas[0], inside({ commitIndex: 2 }))).toThrow(/went back/);
    expect(() => checkMonotonic(replicas[1], inside({ lastApplied: 1 }))).toThrow(/went back/);
  });
});

describe('membership changes', () => {
  it('voters change through joint consensus only, to those that it names', () => {
    const simple = ofVoters(1, 2, 3);
    expect(faultOf(simple, joint([1, 2, 3], [], [4]))).toBeUndefined();
    expect(faultOf(simple, joint([1, 2, 4], [1, 2, 3]))).toBeUndefined();
    expect(faultOf(joint([1, 2, 4], [1, 2, 3]), joint([1, 2, 4], [], [3]))).toBeUndefined();
    expect(faultOf(simple, ofVoters(1, 2, 4))).toMatch(/without joint/);
    expect(faultOf(simple, joint([1, 2, 4], [2, 3]))).toMatch(/outgoing/);
    expect(faultOf(joint([1, 2, 4], [1, 2, 3]), ofVoters(1, 2, 5))).toMatch(/other voters/);
    expect(faultOf(joint([1, 4], [1, 2]), joint([1, 5], [1, 2]))).toMatch(/one joint/);
  });

  it('two changes that are not committed', () => {
    const { ledger, replicas } = range();
    const learner = (id: number): Entry => ({
      term: 1,
      configuration: joint([1, 2, 3], [], [id]),
    });
    look(ledger, replicas[0], { entries: [learner(4), { term: 1 }, learner(5)], commitIndex: 1 });
    checkConfigurations(ledger, replicas[0]);
    look(ledger, replicas[0], {
      entries: [learner(4), { term: 1 }, learner(5), learner(6)],
      commitIndex: 1,
    });
    expect(() => checkConfigurations(ledger, replicas[0])).toThrow(/i3, i4 above i1/);
  });
});
