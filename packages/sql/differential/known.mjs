/**
 * Differences that docs/sql.md lists, and how one is told from a fault: by asking PostgreSQL again, never by the words of the
 * statement alone. A difference that no entry claims is a fault.
 */
const entries = [
  {
    name: 'computed by the planner',
    reason: 'PostgreSQL computes constant expressions when it plans and fails then',
    claims: async ({ sql, theirs, ask }) => {
      if (theirs.error === undefined) return false;
      const planned = await ask(`explain ${sql}`);
      return planned.error === theirs.error && planned.message === theirs.message;
    },
  },
  {
    name: 'not computed by PostgreSQL',
    reason: 'which parts of a predicate or which rows are computed first is not promised',
    claims: async ({ ours, tree, ask }) => {
      if (ours.error === undefined || tree?.alone === undefined) return false;
      for (const part of tree.alone()) {
        const alone = await ask(part);
        if (alone.error === ours.error && alone.message === ours.message) return true;
      }
      return false;
    },
  },
  {
    name: 'age of infinity',
    reason: 'age of infinite timestamps is 22008',
    claims: ({ sql, ours }) => ours.error === '22008' && /\bage\(/.test(sql),
  },
];

/** @returns the name of the difference that this one is, or undefined */
export async function knownDifference(facts) {
  for (const entry of entries) if (await entry.claims(facts)) return entry.name;
  return undefined;
}

export function reasonOf(name) {
  return entries.find((entry) => entry.name === name)?.reason ?? '';
}
