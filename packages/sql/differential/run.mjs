/**
 * Runs the same statements here and on a PostgreSQL 15 and prints where the answers differ: rows (in order where the
 * statement orders them, else as a bag), column names and types, SQLSTATEs, and for handwritten ones messages and positions. A
 * difference in a generated statement is made smaller before it is printed. Fails if one is not known (known.mjs).
 *
 *   PGHOST=… PGPORT=… PGUSER=… pnpm --filter @flotilla/sql test:differential [--seed N] [--count N] [--only theme]
 *
 * `--count` is how many of each generator; `--only` takes the beginning of a theme's name, `generated` or `expressions`.
 */
import { SeededPrng } from '@flotilla/base';
import { answerText, difference } from './compare.mjs';
import { openFlotilla, openPostgres } from './engines.mjs';
import { expressions } from './expressions.mjs';
import { generator } from './generate.mjs';
import { handwritten } from './handwritten.mjs';
import { knownDifference, reasonOf } from './known.mjs';

const options = { seed: 1, count: 500, only: '' };
for (let i = 2; i < process.argv.length; i += 2) {
  const name = process.argv[i]?.replace(/^--/, '') ?? '';
  const value = process.argv[i + 1] ?? '';
  options[name] = name === 'only' ? value : Number(value);
}

const database = `flotilla_differential_${options.seed}`;
const theirs = await openPostgres(database);
const ours = await openFlotilla(database);
const totals = { handwritten: 0, generated: 0, failed: 0, returned: 0 };
const known = new Map();
const faults = new Map();

async function both(sql) {
  const [a, b] = await Promise.all([theirs.run(sql), ours.run(sql)]);
  return { a, b, kind: difference(sql, a, b) };
}

function count({ a }) {
  if (a.error !== undefined) totals.failed++;
  totals.returned += a.rows?.length ?? 0;
}

async function report(where, tree, { a, b, kind }) {
  const sql = tree.sql();
  const name = await knownDifference({ sql, theirs: a, ours: b, tree, ask: theirs.run });
  if (name !== undefined) {
    known.set(name, (known.get(name) ?? 0) + 1);
    return;
  }
  faults.set(kind, (faults.get(kind) ?? 0) + 1);
  process.stdout.write(
    `\n${where}: ${kind}\n  ${sql.replaceAll('\n', '\n  ')}\n  pg:   ${answerText(a)}\n  ours: ${answerText(b)}\n`,
  );
}

async function reset() {
  await theirs.reset();
  await ours.reset();
}

async function runHandwritten({ name, sql: statements }) {
  await reset();
  for (const sql of statements) {
    totals.handwritten++;
    const result = await both(sql);
    count(result);
    if (result.kind !== undefined) await report(name, { sql: () => sql }, result);
  }
}

async function smallest(smaller, first, answer) {
  let [tree, result] = [first, answer];
  for (let found = true; found; ) {
    found = false;
    for (const candidate of smaller(tree)) {
      const again = await both(candidate.sql());
      if (again.kind !== result.kind) continue;
      const same = again.a.error === result.a.error && again.b.error === result.b.error;
      if (again.kind === 'error' && !same) continue;
      [tree, result, found] = [candidate, again, true];
      break;
    }
  }
  return { tree, result };
}

async function runGenerated(name, make) {
  const { setup, statement, smaller } = make(new SeededPrng(options.seed));
  await reset();
  for (const sql of setup) {
    const result = await both(sql);
    if (result.kind !== undefined) await report('setup', { sql: () => sql }, result);
  }
  for (let i = 0; i < options.count; i++) {
    totals.generated++;
    const made = statement();
    const answer = await both(made.sql());
    count(answer);
    if (answer.kind === undefined || ['message', 'position'].includes(answer.kind)) continue;
    const { tree, result } = await smallest(smaller, made, answer);
    await report(`${name} ${options.seed}/${i}`, tree, result);
  }
}

for (const theme of handwritten())
  if (theme.name.startsWith(options.only)) await runHandwritten(theme);
for (const [name, make] of [
  ['generated', generator],
  ['expressions', expressions],
])
  if (name.startsWith(options.only)) await runGenerated(name, make);

await theirs.end();
process.stdout.write(
  `\nseed ${options.seed}: ${totals.handwritten} handwritten and ${totals.generated} generated statements; ${totals.failed} fail on PostgreSQL, the others return ${totals.returned} rows\n`,
);
for (const [name, times] of known)
  process.stdout.write(`known: ${times} × ${name} (${reasonOf(name)})\n`);
process.stdout.write(`faults: ${JSON.stringify(Object.fromEntries(faults))}\n`);
process.exitCode = faults.size === 0 ? 0 : 1;
