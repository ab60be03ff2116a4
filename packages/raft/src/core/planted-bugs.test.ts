/**
 * Proof that the random cluster can fail: bugs that other implementations had, planted from outside of the product's
 * code, must be found.
 */
import { toLogIndex, toReplicaId, toStoreId, toTerm } from '@flotilla/base';
import { expect, test } from 'vitest';
import type { RaftMessage, SnapshotPoint } from '../messages.ts';
import type { Sabotage } from '../testing/cluster-node.ts';
import { RaftCluster, type RaftClusterOptions } from '../testing/raft-cluster.ts';
import { RaftMachine } from './core.ts';
import { leaseEndMs } from './lease.ts';
import type { Progress } from './progress.ts';
import { jointQuorumValue, quorumValue } from './quorum.ts';

/** Members stay the same unless the bug is about them: then fewer other things happen before it shows. */
function runSeed(seed: number, options: Partial<RaftClusterOptions>): void {
  const voters = seed % 3 === 0 ? 5 : seed % 29 === 0 ? 1 : 3;
  const base = { seed, voters, membership: false, encode: seed % 8 === 0 };
  new RaftCluster({ ...base, ...options }).run();
}

/** The first breach that `finds` describes, within `seeds` seeds. */
function firstBreach({ seeds, finds, options }: Planted): string {
  for (let seed = 1; seed <= seeds; seed++) {
    try {
      runSeed(seed, options);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      if (finds.test(error.message)) return error.message;
    }
  }
  return `nothing found in ${seeds} seeds`;
}

/** Newest ReadIndex round that each leader has sent, to forge echoes with. */
function forgeReadEcho(message: RaftMessage, core: RaftMachine): RaftMessage {
  if (message.kind !== 'appendEntriesResponse' || core.state.role.kind !== 'leader') return message;
  return { ...message, readSequence: core.state.role.reads.sentSequence };
}

function commitByCounting(core: RaftMachine): void {
  const { role, commitIndex } = core.state;
  if (role.kind !== 'leader') return;
  const reached = jointQuorumValue(role.voterSets, (record) => record.matchIndex);
  if (reached > commitIndex && reached < role.termStartIndex)
    core.state.commitIndex = toLogIndex(reached);
}

/** Appends carry the commit index as it is, applied or not. */
function announceCommitted(core: RaftMachine): void {
  core.takeReady = (now) => {
    const ready = RaftMachine.prototype.takeReady.call(core, now);
    const { commitIndex } = core.state;
    for (const message of ready?.messages ?? [])
      if (message.kind === 'appendEntriesRequest')
        Object.assign(message, { leaderCommit: commitIndex });
    return ready;
  };
}

/** Leases as if no transfer had ever been tried. */
function keepLease(core: RaftMachine): void {
  core.leaseValid = (now) => {
    const { role } = core.state;
    if (role.kind !== 'leader') return false;
    const { leaseForfeited } = role;
    role.leaseForfeited = false;
    const valid = now < leaseEndMs(core.state);
    role.leaseForfeited = leaseForfeited;
    return valid;
  };
}

/** Whoever acknowledges makes up the majority, learners too. */
function commitByMembers(core: RaftMachine): void {
  const { role, log } = core.state;
  if (role.kind !== 'leader') return;
  advanceCommit(core, quorumValue([...role.progress.values()], matchIndex), log.lastIndex);
}

/** In joint consensus, the incoming majority alone commits. */
function commitByIncoming(core: RaftMachine): void {
  const { role, log } = core.state;
  if (role.kind !== 'leader') return;
  advanceCommit(core, quorumValue(role.voterSets[0] ?? [], matchIndex), log.lastIndex);
}

function advanceCommit(core: RaftMachine, reached: number, lastIndex: number): void {
  const { role, commitIndex } = core.state;
  if (role.kind !== 'leader' || reached <= commitIndex || reached > lastIndex) return;
  if (reached < role.termStartIndex) return;
  for (let i = Math.max(commitIndex, role.termStartIndex) + 1; i <= reached; i++)
    role.uncommittedBytes -= core.state.log.cached(i).data.length;
  core.state.commitIndex = toLogIndex(reached);
}

/** A new leader changes the configuration before the term has committed anything. */
function changeAtOnce(core: RaftMachine, now: number): void {
  const { role, commitIndex } = core.state;
  if (role.kind !== 'leader' || commitIndex >= role.termStartIndex) return;
  const { termStartIndex } = role;
  Object.assign(role, { termStartIndex: commitIndex });
  const newcomer = { replicaId: toReplicaId(40), storeId: toStoreId(40) };
  core.changeConfiguration({ kind: 'addLearner', ...newcomer }, now);
  Object.assign(role, { termStartIndex });
}

/** A configuration stays in force when its entry is truncated. */
function keepTruncated(core: RaftMachine): void {
  core.state.configurations.truncateFrom = () => false;
}

/** A snapshot that is older than what is committed is taken all the same. */
function takeOldSnapshot(snapshot: SnapshotPoint, core: RaftMachine): SnapshotPoint {
  const { state } = core;
  if (snapshot.lastIncludedIndex < state.commitIndex && state.role.kind === 'follower')
    state.commitIndex = snapshot.lastIncludedIndex;
  return snapshot;
}

const matchIndex = (record: Progress): number => record.matchIndex;

interface Planted {
  readonly bug: string;
  /** Several times what it takes today. */
  readonly seeds: number;
  readonly finds: RegExp;
  readonly options: Partial<RaftClusterOptions> & { readonly sabotage: Sabotage };
}

const planted: readonly Planted[] = [
  {
    bug: 'acks and votes leave before they are durable',
    seeds: 600,
    finds: /majority|completeness|one leader|safety|matching/,
    options: { sabotage: { releaseBeforePersist: true } },
  },
  {
    bug: 'votes are not persisted (and a restart does not wait)',
    seeds: 600,
    finds: /one vote per term|one leader/,
    options: {
      voters: 3,
      electionJitterMs: 4,
      crashAfterVotePercent: 50,
      sabotage: {
        restartForgetsPromise: true,
        afterStep: (core) => {
          core.leaseValid = () => false; // else the forgotten promise is found first
        },
        persist: (ready) => ({
          entries: ready.entries,
          hardState: ready.hardState && { ...ready.hardState, votedFor: undefined },
        }),
      },
    },
  },
  {
    bug: 'a restart forgets the promise to a leader',
    seeds: 600,
    finds: /leases are disjoint|linearizable/,
    options: { sabotage: { restartForgetsPromise: true } },
  },
  {
    bug: 'a lease counts from the receipt of the ack',
    seeds: 600,
    finds: /leases are disjoint|linearizable/,
    options: {
      sabotage: {
        deliver: (message, _core, now) =>
          message.kind === 'appendEntriesResponse' ? { ...message, sentAtMs: now } : message,
      },
    },
  },
  {
    bug: 'an old echo confirms a new ReadIndex round',
    seeds: 600,
    finds: /linearizable/,
    options: { voters: 3, clientPauseMs: 3, faultsMs: 6000, sabotage: { deliver: forgeReadEcho } },
  },
  {
    bug: 'entries of older terms commit by counting (Figure 8)',
    seeds: 600,
    finds: /commit by counting/,
    options: { sabotage: { afterStep: commitByCounting } },
  },
  {
    bug: 'voters do not compare logs',
    seeds: 600,
    finds: /completeness|same entries|never replaced|safety/,
    options: {
      sabotage: {
        deliver: (message) =>
          message.kind === 'requestVoteRequest' || message.kind === 'preVoteRequest'
            ? { ...message, lastLogTerm: toTerm(1e9) }
            : message,
      },
    },
  },
  {
    bug: 'a lease survives a transfer',
    seeds: 600,
    finds: /leases are disjoint|linearizable/,
    options: { sabotage: { afterStep: keepLease } },
  },
  {
    bug: 'acks of learners count',
    seeds: 600,
    finds: /disks of a majority|completeness/,
    options: { membership: true, sabotage: { afterStep: commitByMembers } },
  },
  {
    bug: 'a joint configuration is left when the new majority has it',
    seeds: 600,
    finds: /disks of a majority|completeness/,
    options: { membership: true, sabotage: { afterStep: commitByIncoming } },
  },
  {
    bug: 'a change begins before the term has committed an entry',
    seeds: 600,
    finds: /no change before|one change at a time/,
    options: { membership: true, sabotage: { afterStep: changeAtOnce } },
  },
  {
    bug: 'a truncated configuration stays in force',
    seeds: 600,
    finds: /configurations follow each other|a configuration is in the log/,
    options: { membership: true, sabotage: { afterStep: keepTruncated } },
  },
  {
    bug: 'a snapshot takes the commit index back',
    seeds: 600,
    finds: /commitIndex does not fall|handed out/,
    options: { membership: true, sabotage: { install: takeOldSnapshot } },
  },
  {
    bug: 'a follower shows what its leader has not applied',
    seeds: 600,
    finds: /linearizable/,
    options: { sabotage: { afterStep: announceCommitted } },
  },
];

for (const each of planted)
  test(`planted bug is found: ${each.bug}`, () => {
    expect(firstBreach(each)).toMatch(each.finds);
  });
