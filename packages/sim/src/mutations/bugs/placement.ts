/** Bugs in the placement of replicas, and in the moves that it asks for. */
import type { Hunt, Mutant } from '../mutant.ts';

const rules = 'packages/shard/src/placement/range-rules.ts';

const losesAStore: Hunt = { only: ['loseStore'], swarm: { stores: 4, replication: 3 } };

export const placements: readonly Mutant[] = [
  {
    name: 'dead-store-never-replaced',
    breaks: 'the replicas of a store that is silent for the grace period are replaced',
    changes: [
      {
        file: 'packages/shard/src/placement/board.ts',
        find: "return health === 'dead' || (decommissioning && health !== 'live');",
        replace: "return decommissioning && health !== 'live';",
      },
    ],
    hunt: losesAStore,
  },
  {
    name: 'victim-demoted-before-its-heir-votes',
    breaks: 'one joint change promotes who comes and demotes who goes: never fewer voters',
    changes: [
      {
        file: 'packages/shard/src/membership/next-step.ts',
        find: 'const promote = replicas.filter((each) => isLearner(each) && add.includes(each.storeId));',
        replace: 'const promote = replicas.filter(() => false);',
      },
    ],
    hunt: losesAStore,
  },
  {
    name: 'surplus-never-removed',
    breaks: 'a range with more voters than its replication factor loses the least useful one',
    changes: [
      {
        file: rules,
        find: 'if (voters.length > wanted) {\n    const victim',
        replace: 'if (voters.length > wanted + 2) {\n    const victim',
      },
    ],
    hunt: {
      only: ['growRange', 'joinStore'],
      weights: { growRange: 3 },
      swarm: { stores: 5, replication: 3 },
    },
  },
  {
    name: 'joins-without-saying-so',
    breaks:
      'a store that joins puts its row among the others: what nobody knows of is given nothing',
    changes: [
      {
        file: 'packages/shard/src/placement/own-record.ts',
        find: 'this.schedule(0);',
        replace: 'this.schedule(3_600_000);',
      },
    ],
    hunt: losesAStore,
  },
  {
    name: 'drained-store-keeps-its-leases',
    breaks: 'a store that drains hands over what it leads',
    changes: [
      {
        file: rules,
        find: 'if (!from.store.draining && !from.store.decommissioning) return undefined;',
        replace: 'if (!from.store.decommissioning) return undefined;',
      },
    ],
    hunt: {
      test: 'packages/shard/src/placement/placement.test.ts',
      because:
        'operators end what they wished for before the world is looked at: else a drained store takes no place that a range needs',
    },
  },
  {
    name: 'decommissioned-store-keeps-its-replicas',
    breaks: 'what a store holds that is decommissioned goes to others',
    changes: [{ file: rules, find: '  decommission,\n  drain,', replace: '  drain,' }],
    hunt: { only: ['drainStore', 'joinStore'], swarm: { stores: 5, replication: 3 } },
  },
  {
    name: 'row-not-written-after-a-move',
    breaks: 'the meta index follows every change of members',
    changes: [
      {
        file: 'packages/shard/src/store/range-reports.ts',
        find: 'return generation > 0 || (generation === 0 &&',
        replace: 'return (generation === 0 &&',
      },
    ],
    hunt: {},
  },
];
