/** Bugs in reads of keys whose rows a program evaluates. */
import type { Mutant } from '../mutant.ts';
import { brisk, calm } from './transaction-worlds.ts';

const gets = 'packages/shard/src/reads/transaction-reads.ts';
const asking = 'packages/router/src/transaction/evaluate-operation.ts';
const reader = 'packages/client/src/transaction/snapshot-reader.ts';
const work = 'packages/client/src/transaction/commit-work.ts';

export const evaluations: readonly Mutant[] = [
  {
    name: 'evaluated-reads-are-not-remembered',
    breaks: 'nothing is written below a timestamp at which a program has read a key',
    changes: [
      {
        file: gets,
        find: 'for (const key of keys) memory.reads.bumpKey(nameOf(key), readTimestamp, transaction);',
        replace:
          'if (program === undefined) for (const key of keys) memory.reads.bumpKey(nameOf(key), readTimestamp, transaction);',
      },
    ],
    hunt: calm,
  },
  {
    name: 'programs-pass-intents',
    breaks: 'a program sees what the intents of its time become, not what was there before',
    changes: [
      {
        file: gets,
        find: 'const waits = obstacleOn(leaseholder, key, transaction, uncertaintyLimit);',
        replace:
          'const waits = program === undefined ? obstacleOn(leaseholder, key, transaction, uncertaintyLimit) : undefined;',
      },
    ],
    hunt: calm,
  },
  {
    name: 'evaluated-answer-is-about-all-keys',
    breaks: 'an answer is about as many keys as it says, and the others are asked for again',
    changes: [
      {
        file: asking,
        find: 'this.operation.succeed({ done: done ?? 0, evaluated, values: [], from, readTimestamp });',
        replace:
          'this.operation.succeed({ done: this.request.keys.length * Math.sign(done ?? 0), evaluated, values: [], from, readTimestamp });',
      },
    ],
    hunt: calm,
  },
  {
    name: 'evaluated-reads-are-not-checked',
    breaks: 'what a program has read is in the read set, though its version is not known',
    changes: [
      {
        file: reader,
        find: 'if (key !== undefined) reads.addPoint(key, version, readTimestamp);',
        replace:
          'if (key !== undefined && version !== undefined) reads.addPoint(key, version, readTimestamp);',
      },
    ],
    hunt: calm,
  },
  {
    name: 'evaluated-rows-are-written-over',
    breaks: 'what was read, by a program too, is unchanged when its transaction writes it',
    changes: [
      {
        file: work,
        find: 'readChecks.push({ startKey: key, endKey: undefined, since: read.since });',
        replace: 'void read.since;',
      },
    ],
    hunt: {
      ...calm,
      swarm: { ...calm.swarm, transactions: { ...brisk, readCommittedShare: 0.5, lockShare: 0 } },
    },
  },
];
