/**
 * Differences that docs/sql.md lists, and how one is told from a fault: by asking PostgreSQL again, never by the words of the
 * statement alone. A difference that no entry claims is a fault.
 */
import { difference } from './compare.mjs';

/** What stands in parentheses, the smallest first. */
function* groups(sql) {
  const open = [];
  const found = [];
  for (let i = 0; i < sql.length; i++) {
    if (sql[i] === '(') open.push(i);
    else if (sql[i] === ')') found.push([open.pop() ?? 0, i + 1]);
  }
  found.sort(([a, b], [c, d]) => b - a - (d - c));
  for (const [from, to] of found)
    if (!/[\w"]/.test(sql[from - 1] ?? ' ')) yield { from, to, text: sql.slice(from, to) };
}

/** A part of the statement fails on PostgreSQL as the statement does here. */
async function isOneOfTheirs({ sql, ours, ask }) {
  for (const { text } of groups(sql)) {
    const alone = await ask(`select ${text} from x`);
    if (alone.error === ours.error && alone.message === ours.message) return true;
  }
  return false;
}

/** Without the part that fails on PostgreSQL, which has its type still, PostgreSQL answers what is answered here. */
async function isNotComputed({ sql, theirs, ours, ask }) {
  for (const { from, to, text } of groups(sql)) {
    const alone = await ask(`select ${text} from x`);
    if (alone.error !== theirs.error || alone.message !== theirs.message) continue;
    const without = await ask(
      `${sql.slice(0, from)}(case when false then ${text} end)${sql.slice(to)}`,
    );
    if (difference(sql, without, ours) === undefined) return true;
  }
  return false;
}

/** Whether PostgreSQL finds the same as we do where it is told to ask one side of an AND only if the other one holds. */
async function isInOrder({ sql, theirs, ours, ask }) {
  if (theirs.error === undefined || ours.error !== undefined) return false;
  const all = [...groups(sql)];
  for (const left of all)
    for (const right of all) {
      if (sql.slice(left.to, right.from) !== ' and ') continue;
      const both = `case when ${left.text} then ${right.text} else ${left.text} end`;
      const ordered = await ask(`${sql.slice(0, left.from)}${both}${sql.slice(right.to)}`);
      if (difference(sql, ordered, ours) === undefined) return true;
    }
  return false;
}

/** Values that are equal look the same in it. */
function alike(answer) {
  return { ...answer, rows: answer.rows.map((row) => row.map(alikeValue)) };
}

const interval =
  /^(?:(-?\d+) years? ?)?(?:(-?\d+) mons? ?)?(?:(-?\d+) days? ?)?(?:(-?)(\d+):(\d\d):(\d\d(?:\.\d+)?))?$/;

function alikeValue(value) {
  if (value === '-0') return '0';
  const found = typeof value === 'string' && value !== '' ? interval.exec(value) : null;
  if (found === null) return value;
  const [, years, months, days, sign, ...time] = found;
  const [hours, minutes, seconds] = time.map((one) => Number(one ?? 0));
  const moment = (sign === '-' ? -1 : 1) * ((hours * 60 + minutes) * 60 + seconds);
  const all = (Number(years ?? 0) * 12 + Number(months ?? 0)) * 30 + Number(days ?? 0);
  return `interval of ${all * 86_400 + moment} s`;
}

const entries = [
  {
    name: 'cancelled there',
    reason: 'PostgreSQL ran into statement_timeout: there is nothing to compare with',
    claims: ({ theirs }) => theirs.error === '57014',
  },
  {
    name: 'refused',
    reason: 'not built, and refused by name with 0A000',
    claims: ({ ours }) => ours.error === '0A000' && / is not supported yet$/.test(ours.message),
  },
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
    name: 'no date',
    reason:
      'whether a text is no date at all (22007), one out of range (22008) or one in an unknown zone (22023) may be judged otherwise',
    claims: ({ theirs, ours }) => {
      const [text, other] = [theirs, ours].map((one) => /"(.*)"/.exec(one.message)?.[1]);
      if (text === undefined || other === undefined) return false;
      const codes = [theirs.error, ours.error].sort().join();
      if (codes === '22007,22008') return text === other;
      return ours.error === '22007' && theirs.error === '22023' && other.endsWith(text);
    },
  },
  {
    name: 'type of a row',
    reason:
      'the rows of a table are of type record and their arrays of record[], not of types that have the name of the table',
    claims: ({ theirs, ours }) =>
      theirs.error === undefined &&
      ours.error === undefined &&
      theirs.columns.join() !== ours.columns.join() &&
      theirs.columns.every((one, i) => {
        const other = ours.columns[i] ?? '';
        return (
          one === other || (/:(2249|2287)$/.test(other) && one === other.replace(/\d+$/, 'own'))
        );
      }) &&
      theirs.rows
        .map((row) => row.join('|'))
        .sort()
        .join('\n') ===
        ours.rows
          .map((row) => row.join('|'))
          .sort()
          .join('\n'),
  },
  {
    name: 'another part first',
    reason:
      'of a statement that may fail in several places, which of them is computed is not promised',
    claims: async (facts) =>
      facts.ours.error === undefined
        ? (await isNotComputed(facts)) || (await isInOrder(facts))
        : isOneOfTheirs(facts),
  },
  {
    name: 'equal values',
    reason:
      '0 and -0, a month and 30 days are equal: which of them stands for both in DISTINCT, GROUP BY and set operations is not promised',
    claims: ({ sql, theirs, ours }) =>
      theirs.error === undefined &&
      ours.error === undefined &&
      /\b(distinct|group by|union|intersect|except)\b/i.test(sql) &&
      difference(sql, alike(theirs), alike(ours)) === undefined,
  },
  {
    name: 'too much for memory',
    reason: 'the partition of a window function is held in memory, and there is a limit to that',
    claims: ({ sql, theirs, ours }) =>
      ours.error === '53200' && /\bover \(/i.test(sql) && (theirs.rows?.length ?? 0) > 100_000,
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
