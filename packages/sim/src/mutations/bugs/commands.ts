/** Bugs between the log and the client: evaluation, application, sessions, retries. */
import type { Mutant } from '../mutant.ts';

const leaseholder = 'packages/shard/src/replica/leaseholder.ts';
const replica = 'packages/shard/src/replica/replica.ts';
const sessionTable = 'packages/shard/src/state/session-table.ts';

export const commands: readonly Mutant[] = [
  {
    name: 'command-applied-twice',
    breaks:
      'a serial takes effect once: looked up when a command is evaluated and again when it is applied; both are taken away',
    changes: [
      {
        file: 'packages/shard/src/replica/session-commands.ts',
        find: 'const known = session.results.get(serial);',
        replace: 'const known = session.results.get(-serial);',
      },
      {
        file: replica,
        find: 'if (serial <= session.ackedUpTo || session.results.has(serial)) {',
        replace: 'if (serial < 0) {',
      },
      {
        file: sessionTable,
        find: `assert(serial > session.ackedUpTo && !session.results.has(serial), 'a serial is new', {
      serial,
    });`,
        replace: '',
      },
    ],
    hunt: { only: ['crash', 'isolate', 'storm', 'transfer', 'disconnect'] },
  },
  {
    name: 'result-not-looked-up',
    breaks: 'a retried command is answered with the result of the first (thesis §6.3)',
    changes: [
      {
        file: 'packages/shard/src/replica/session-commands.ts',
        find: 'const known = session.results.get(serial);',
        replace: 'const known = session.results.get(-serial);',
      },
    ],
    hunt: { only: ['crash', 'isolate', 'storm', 'transfer', 'disconnect'] },
  },
  {
    name: 'result-not-stored',
    breaks: 'the result of a serial is part of the replicated state (thesis §6.3)',
    changes: [{ file: sessionTable, find: 'session.results.set(serial, result);', replace: '' }],
    hunt: { only: ['crash', 'isolate', 'storm', 'transfer', 'disconnect'] },
  },
  {
    name: 'sessions-not-in-the-checkpoint',
    breaks: 'sessions are part of the state that a checkpoint saves',
    changes: [
      {
        file: 'packages/shard/src/state/range-checkpoint.ts',
        find: 'sessions: state.sessions.toRows(),',
        replace: 'sessions: [],',
      },
    ],
    hunt: { only: ['crash', 'stop', 'checkpoint', 'crashAll'] },
  },
  {
    name: 'retry-under-a-new-serial',
    breaks: 'a write in doubt is repeated under the serial that it was first sent with',
    changes: [
      {
        file: 'packages/router/src/write-operation.ts',
        find: 'if (this.inDoubt > 0 || this.session.rangeId === piece.range.rangeId) return true;',
        replace: '',
      },
    ],
    hunt: { only: ['crash', 'isolate', 'storm', 'transfer', 'disconnect'] },
  },
  {
    name: 'evaluation-ignores-proposed-writes',
    breaks: 'conditions are evaluated against the state and everything proposed before',
    changes: [
      {
        file: 'packages/shard/src/replica/evaluation.ts',
        find: 'if (pending !== undefined) return pending.stored;',
        replace: 'void pending;',
      },
    ],
    hunt: { only: ['slowDisk', 'slowLink'] },
  },
  {
    name: 'evaluation-before-the-own-term',
    breaks:
      "evaluation begins when the term's own entry is applied; the wait of a new leaseholder covers it, and goes too",
    changes: [
      {
        file: leaseholder,
        find: 'return this.ready && this.open && !this.resigned',
        replace: 'return !this.resigned',
      },
    ],
    hunt: { only: ['crash', 'transfer', 'isolate'] },
  },
  {
    name: 'answer-before-it-is-applied',
    breaks: 'a write is acknowledged when reads see it',
    changes: [
      {
        file: 'packages/shard/src/store/store-state-machine.ts',
        find: 'applied.push(result);',
        replace:
          'replica.publish(result);\n        if (result.before !== undefined) hooks.onDescriptor(replica, result.before);',
      },
    ],
    hunt: { only: ['slowDisk'], swarm: { engineMsMax: 30 } },
  },
];
