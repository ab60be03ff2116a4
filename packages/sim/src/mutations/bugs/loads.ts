/** Bugs in loads: storage that one transaction fills before it commits. */
import type { Mutant } from '../mutant.ts';

const claimed = 'packages/client/src/transaction/claimed-spans.ts';
const spansTest = 'packages/client/src/transaction/claimed-spans.test.ts';
const noLoads = 'no workload of the simulator loads more than a transaction keeps in memory';

export const loads: readonly Mutant[] = [
  {
    name: 'rolled-back-rows-stay-written-out',
    breaks:
      'what was written out after a savepoint is taken back before more is, or the commit is made',
    changes: [
      {
        file: claimed,
        find: 'this.stored = base;\n        this.isStale = true;',
        replace: 'this.stored = base;',
      },
    ],
    hunt: { test: spansTest, because: noLoads },
  },
  {
    name: 'late-part-of-a-load-counts',
    breaks: 'after a part of a load whose fate is unknown nothing is made of its spans any more',
    changes: [
      {
        file: claimed,
        find: 'if (this.broken !== undefined) throw this.broken;\n    if (this.isFlushing)',
        replace: 'if (this.isFlushing)',
      },
    ],
    hunt: { test: spansTest, because: noLoads },
  },
];
