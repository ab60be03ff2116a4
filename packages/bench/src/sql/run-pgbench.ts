/** One script of `pgbench` against one system that speaks PostgreSQL's protocol, once. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pgbenchFigures } from '../measure/pgbench-output.ts';
import { childrenCpuSeconds } from '../measure/process-tree.ts';
import type { RateSample } from '../measure/summary.ts';
import { watchUsage } from '../measure/usage-watch.ts';
import type { TurnOptions } from '../run-kv.ts';
import type { System } from '../systems/system.ts';
import { ended, psql, sqlUrl } from './programs.ts';

/** A transaction that another one was preferred to is run again, at most so often. */
const triesMax = 10;

export interface PgbenchOrder {
  readonly clients: number;
  /** A script's text, or one that pgbench has. */
  readonly script: string | { readonly builtin: 'tpcb-like' | 'select-only' };
  /** Given to the script. */
  readonly variables?: Readonly<Record<string, number>>;
  /** A statement whose one number counts the script's transactions: what was acknowledged must have been made. */
  readonly countedBy?: string;
}

export async function samplePgbench(
  system: System,
  order: PgbenchOrder,
  { seconds, warmUpSeconds }: Pick<TurnOptions, 'seconds' | 'warmUpSeconds'>,
): Promise<RateSample> {
  const url = sqlUrl(system);
  const directory = await mkdtemp(join(tmpdir(), 'flotilla-pgbench-'));
  try {
    // Latencies of every transaction are logged: one thread, one file.
    const args = ['-n', '-M', 'prepared', '-c', String(order.clients), '-j', '1'];
    if (typeof order.script === 'string') {
      const file = join(directory, 'script.sql');
      await writeFile(file, order.script);
      args.push('-f', file);
    } else args.push('-b', order.script.builtin);
    for (const [name, value] of Object.entries(order.variables ?? {}))
      args.push('-D', `${name}=${value}`);
    args.push(`--max-tries=${triesMax}`);
    if (warmUpSeconds > 0) await pgbench([...args, '-T', String(warmUpSeconds), url]);
    const count = async (): Promise<number> =>
      order.countedBy === undefined ? 0 : Number(await psql(url, order.countedBy));
    const counted = await count();
    const loadCpuBefore = childrenCpuSeconds();
    const log = ['-l', `--log-prefix=${join(directory, 'log')}`];
    const { result, used } = await watchUsage(system, () =>
      pgbench([...args, ...log, '-T', String(seconds), url]),
    );
    const loadCpuSeconds = childrenCpuSeconds() - loadCpuBefore;
    const { summary, aborted } = result;
    const logs = (await readdir(directory)).filter((name) => name.startsWith('log'));
    const lines = await Promise.all(logs.map((name) => readFile(join(directory, name), 'utf8')));
    const figures = pgbenchFigures(summary, lines.join(''));
    const { transactions } = figures;
    if (order.countedBy !== undefined) {
      const made = (await count()) - counted;
      // The last transaction of a client that gave up may have been made.
      if (made < transactions || made > transactions + aborted)
        throw new Error(
          `${system.name}: ${transactions} transactions were acknowledged, ${made} made`,
        );
    }
    return {
      kind: 'rate',
      operationsPerSecond: figures.perSecond,
      errors: figures.failed + aborted,
      p50: figures.p50,
      p99: figures.p99,
      p999: figures.p999,
      cpuSecondsPerThousand: (used.cpuSeconds / transactions) * 1000,
      loadCpuSecondsPerThousand: (loadCpuSeconds / transactions) * 1000,
      residentBytes: used.peakResidentBytes,
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** @returns its summary, and how many clients gave up: pgbench goes on with the others, and ends with 2 */
async function pgbench(
  args: readonly string[],
): Promise<{ readonly summary: string; readonly aborted: number }> {
  const { code, output, errors } = await ended('pgbench', args);
  if (code !== 0 && code !== 2) throw new Error(`pgbench ended with ${code}:\n${errors}`);
  return { summary: output, aborted: errors.match(/client \d+ aborted/g)?.length ?? 0 };
}
