/**
 * Runs random transactions over tables with deferrable constraints here and on a PostgreSQL 15: writes, SET CONSTRAINTS,
 * savepoints, and at the end what the tables hold. Compares the SQLSTATE of every statement and the rows; which of several
 * violated constraints is told is not compared. Prints the transactions up to the first difference and fails.
 *
 *   PGHOST=… PGPORT=… PGUSER=… pnpm --filter @flotilla/sql test:deferred [--seed N] [--count N]
 */
import { SeededPrng } from '@flotilla/base';
import { answerText } from './compare.mjs';
import { openFlotilla, openPostgres } from './engines.mjs';

const options = { seed: 1, count: 300 };
for (let i = 2; i < process.argv.length; i += 2)
  options[process.argv[i]?.replace(/^--/, '') ?? ''] = Number(process.argv[i + 1]);

const prng = new SeededPrng(options.seed);
const below = (n) => Math.floor(prng.nextFloat() * n);
const pick = (all) => all[below(all.length)];
const deferrable = () => pick(['', 'deferrable', 'deferrable initially deferred']);
const action = () => pick(['', '', '', 'cascade', 'restrict', 'set null']);
const onChange = () => {
  const [del, upd] = [action(), action()];
  return `${del && `on delete ${del}`} ${upd && `on update ${upd}`}`;
};

const schema = () => [
  `create table p (id int primary key, u int constraint p_u unique, d int constraint p_d unique ${deferrable()})`,
  `create table c (id int primary key, pid int constraint c_pid references p (id) ${onChange()} ${deferrable()}, n int constraint c_n unique ${deferrable()})`,
  `create table g (id int constraint g_key primary key ${deferrable()}, u int constraint g_u references p (u) ${onChange()} ${deferrable()}, c int constraint g_c references c (id) ${onChange()} ${deferrable()})`,
  `create table t (id int primary key, up int constraint t_up references t (id) ${onChange()} ${deferrable()})`,
];

const value = () => (below(8) === 0 ? 'null' : String(1 + below(4)));
const columns = {
  p: ['id', 'u', 'd'],
  c: ['id', 'pid', 'n'],
  g: ['id', 'u', 'c'],
  t: ['id', 'up'],
};
const constraints = ['p_d', 'c_pid', 'c_n', 'g_key', 'g_u', 'g_c', 't_up'];

/** One row at most is written at a time: of several PostgreSQL may judge the first before the next is there. */
function write() {
  const table = pick(Object.keys(columns));
  const own = columns[table];
  const where = `${pick(own)} = ${1 + below(4)}`;
  const one = `id = (select min(id) from ${table} where ${where})`;
  switch (below(5)) {
    case 0:
    case 1:
      return `insert into ${table} values (${own.map(value).join(', ')})`;
    case 2:
    case 3:
      return `update ${table} set ${pick(own)} = ${value()} where ${one}`;
    default:
      return `delete from ${table} where ${one}`;
  }
}

function* transaction() {
  if (below(4) === 0) {
    yield write();
    return;
  }
  yield 'begin';
  const savepoints = [];
  for (let left = 2 + below(8); left > 0; left--) {
    const kind = below(12);
    if (kind === 0)
      yield `set constraints ${pick(['all', ...constraints.slice(0)])} ${pick(['deferred', 'immediate'])}`;
    else if (kind === 1) {
      savepoints.push(`s${savepoints.length}`);
      yield `savepoint ${savepoints.at(-1)}`;
    } else if (kind === 2 && savepoints.length > 0) {
      const to = below(savepoints.length);
      yield `rollback to s${to}`;
      savepoints.length = to + 1;
    } else if (kind === 3 && savepoints.length > 0) yield `release ${savepoints.pop()}`;
    else yield write();
  }
  yield pick(['commit', 'commit', 'commit', 'rollback']);
}

const tables = Object.entries(columns).map(
  ([name, own]) => `select * from ${name} order by ${own.join(', ')}`,
);
const database = `flotilla_deferred_${options.seed}`;
const theirs = await openPostgres(database);
const ours = await openFlotilla(database);
const history = [];
const totals = { statements: 0, failed: 0, commits: 0, refused: 0 };

async function same(sql) {
  history.push(sql);
  const [a, b] = await Promise.all([theirs.run(sql), ours.run(sql)]);
  totals.statements++;
  if (a.error !== undefined) totals.failed++;
  if (sql === 'commit') totals[a.error === undefined ? 'commits' : 'refused']++;
  const kind = (code) => (code?.startsWith('23') ? 'a violation' : code);
  const rows = (answer) => answer.rows?.map((row) => row.join('|')).join('\n');
  if (kind(a.error) === kind(b.error) && (a.error !== undefined || rows(a) === rows(b)))
    return true;
  process.stdout.write(
    `${history.join(';\n')};\n  pg:   ${answerText(a)}\n  ours: ${answerText(b)}\n`,
  );
  return false;
}

let differences = 0;
for (let n = 0; n < options.count && differences === 0; n++) {
  if (n % 50 === 0) {
    await theirs.reset();
    await ours.reset();
    history.length = 0;
    for (const sql of schema()) if (!(await same(sql))) differences++;
  }
  const statements = [...transaction(), ...tables];
  for (const sql of statements)
    if (!(await same(sql))) {
      differences++;
      break;
    }
}
await theirs.end();
process.stdout.write(`seed ${options.seed}: ${JSON.stringify(totals)}\n`);
process.exit(differences === 0 ? 0 : 1);
