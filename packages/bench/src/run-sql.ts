/** One SQL workload against one system that speaks PostgreSQL's protocol, once, by `pgbench`. */
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pgbenchFigures } from './measure/pgbench-output.ts';
import { sumOf, type Usage, usageOf } from './measure/process-tree.ts';
import type { Sample } from './measure/summary.ts';
import type { RoundOptions } from './run-kv.ts';
import type { System } from './systems/system.ts';
import type { SqlWorkload } from './workloads.ts';

/** Rows per COPY: every chunk is a transaction of its own, in every system. */
const rowsPerCopy = 2000;
const accountsPerBranch = 100_000;
const tellersPerBranch = 10;
/** A transaction that another one was preferred to is run again, at most so often. */
const triesMax = 10;

const increment = {
  setUp:
    'CREATE TABLE counter (id int PRIMARY KEY, n bigint NOT NULL); INSERT INTO counter VALUES (1, 0);',
  script: 'UPDATE counter SET n = n + 1 WHERE id = 1;\n',
};

/** The tables of pgbench, filled as `pgbench -i` does it but for the size of transactions; and the counter. */
export async function fillSql(system: System, scale: number): Promise<void> {
  const url = sqlUrl(system);
  await run('pgbench', ['-i', '-I', 'dt', '-q', '-s', String(scale), url]);
  const keys = { branches: 'bid', tellers: 'tid', accounts: 'aid' };
  const alter = Object.entries(keys).map(
    ([table, key]) => `ALTER TABLE pgbench_${table} ADD PRIMARY KEY (${key});`,
  );
  await psql(url, [...alter, 'DROP TABLE IF EXISTS counter;', increment.setUp].join('\n'));
  await psql(url, rowsOf(scale));
}

function* rowsOf(scale: number): Generator<string> {
  const fill = function* (
    table: string,
    count: number,
    row: (n: number) => string,
  ): Generator<string> {
    for (let at = 0; at < count; at += rowsPerCopy) {
      const most = Math.min(count, at + rowsPerCopy);
      const rows: string[] = [];
      for (let n = at; n < most; n++) rows.push(row(n));
      yield `COPY pgbench_${table} FROM STDIN;\n${rows.join('\n')}\n\\.\n`;
    }
  };
  const branchOf = (n: number, per: number): number => Math.floor(n / per) + 1;
  yield* fill('branches', scale, (n) => `${n + 1}\t0\t\\N`);
  yield* fill(
    'tellers',
    scale * tellersPerBranch,
    (n) => `${n + 1}\t${branchOf(n, tellersPerBranch)}\t0\t\\N`,
  );
  yield* fill(
    'accounts',
    scale * accountsPerBranch,
    (n) => `${n + 1}\t${branchOf(n, accountsPerBranch)}\t0\t`,
  );
}

export async function sampleSql(
  system: System,
  workload: SqlWorkload,
  { seconds, warmUpSeconds }: RoundOptions,
): Promise<Sample> {
  const url = sqlUrl(system);
  const directory = await mkdtemp(join(tmpdir(), 'flotilla-pgbench-'));
  try {
    // Latencies of every transaction are logged: one thread, one file.
    const args = ['-n', '-M', 'prepared', '-c', String(workload.clients), '-j', '1'];
    if (workload.script === 'select') args.push('-S');
    if (workload.script === 'increment') {
      const file = join(directory, 'increment.sql');
      await writeFile(file, increment.script);
      args.push('-f', file);
    }
    args.push(`--max-tries=${triesMax}`);
    if (warmUpSeconds > 0) await pgbench([...args, '-T', String(warmUpSeconds), url]);
    const counted = workload.script === 'increment' ? await counterOf(url) : 0;
    const before = usageNow(system);
    const log = ['-l', `--log-prefix=${join(directory, 'log')}`];
    const { summary, aborted } = await pgbench([...args, ...log, '-T', String(seconds), url]);
    const after = usageNow(system);
    const logs = (await readdir(directory)).filter((name) => name.startsWith('log'));
    const lines = await Promise.all(logs.map((name) => readFile(join(directory, name), 'utf8')));
    const figures = pgbenchFigures(summary, lines.join(''));
    const { transactions } = figures;
    const perThousand = (from: Usage, to: Usage): number =>
      ((to.cpuSeconds - from.cpuSeconds) / transactions) * 1000;
    if (workload.script === 'increment') {
      const made = (await counterOf(url)) - counted;
      // The last transaction of a client that gave up may have been made.
      if (made < transactions || made > transactions + aborted)
        throw new Error(
          `${system.name}: ${transactions} increments were acknowledged, ${made} made`,
        );
    }
    return {
      operationsPerSecond: figures.perSecond,
      errors: figures.failed + aborted,
      p50: figures.p50,
      p99: figures.p99,
      p999: figures.p999,
      cpuSecondsPerThousand: perThousand(before.system, after.system),
      loadCpuSecondsPerThousand: perThousand(before.load, after.load),
      residentBytes: after.system.residentBytes,
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** `pgbench` is a child of this process, and its time ours once it has ended. */
function usageNow(system: System): { readonly system: Usage; readonly load: Usage } {
  const roots = [...system.processes.map(({ pid }) => pid), process.pid];
  const usages = usageOf(roots);
  return { system: sumOf(usages.slice(0, -1)), load: sumOf(usages.slice(-1)) };
}

async function counterOf(url: string): Promise<number> {
  return Number(await run('psql', ['-XAtq', '-d', url, '-c', 'SELECT n FROM counter']));
}

/** @returns its summary, and how many clients gave up: pgbench goes on with the others, and ends with 2 */
async function pgbench(
  args: readonly string[],
): Promise<{ readonly summary: string; readonly aborted: number }> {
  const { code, output, errors } = await ended('pgbench', args);
  if (code !== 0 && code !== 2) throw new Error(`pgbench ended with ${code}:\n${errors}`);
  return { summary: output, aborted: errors.match(/client \d+ aborted/g)?.length ?? 0 };
}

async function psql(url: string, input: string | Iterable<string>): Promise<void> {
  await run('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', '-d', url], input);
}

/** @returns its standard output; throws with its standard error if it fails */
async function run(
  command: string,
  args: readonly string[],
  input: string | Iterable<string> = '',
): Promise<string> {
  const { code, output, errors } = await ended(command, args, input);
  if (code !== 0) throw new Error(`${command} ended with ${code}:\n${errors}`);
  return output;
}

interface Ended {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

function ended(
  command: string,
  args: readonly string[],
  input: string | Iterable<string> = '',
): Promise<Ended> {
  // The level at which increments of one row make sense, and the one that PostgreSQL has anyway.
  const env = { ...process.env, PGOPTIONS: '-c default_transaction_isolation=read\\ committed' };
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    child.stdout.on('data', (text) => {
      output += String(text);
    });
    child.stderr.on('data', (text) => {
      errors = `${errors}${String(text)}`.slice(-100_000);
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output, errors }));
    // A broken pipe says less than the program's own last words.
    child.stdin.on('error', () => undefined);
    Readable.from(typeof input === 'string' ? [input] : input).pipe(child.stdin);
  });
}

function sqlUrl({ name, endpoints }: System): string {
  const { postgres } = endpoints;
  if (postgres === undefined) throw new Error(`${name} does not speak PostgreSQL's protocol`);
  return postgres;
}
