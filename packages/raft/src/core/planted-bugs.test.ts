/**
 * Proof that the random cluster can fail: bugs that other implementations had, planted from outside of the product's
 * code, must be found.
 */
import { toLogIndex, toTerm } from '@flotilla/base';
import { expect, test } from 'vitest';
import type { RaftMessage } from '../messages.ts';
import type { Sabotage } from '../testing/cluster-node.ts';
import { RaftCluster, type RaftClusterOptions } from '../testing/raft-cluster.ts';
import { RaftMachine } from './core.ts';
import { jointQuorumValue } from './quorum.ts';

function runSeed(seed: number, options: Partial<RaftClusterOptions>): void {
  const voters = seed % 3 === 0 ? 5 : seed % 29 === 0 ? 1 : 3;
  new RaftCluster({ seed, voters, encode: seed % 8 === 0, ...options }).run();
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

/** Leases as if no transfer had ever been tried. */
function keepLease(core: RaftMachine): void {
  core.leaseValid = (now) => {
    const { role } = core.state;
    if (role.kind !== 'leader') return false;
    const { leaseForfeited } = role;
    role.leaseForfeited = false;
    const valid = RaftMachine.prototype.leaseValid.call(core, now);
    role.leaseForfeited = leaseForfeited;
    return valid;
  };
}

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
    options: { clientPauseMs: 8, faultsMs: 30_000, sabotage: { deliver: forgeReadEcho } },
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
];

for (const each of planted)
  test(`planted bug is found: ${each.bug}`, { timeout: 60_000 }, () => {
    expect(firstBreach(each)).toMatch(each.finds);
  });
