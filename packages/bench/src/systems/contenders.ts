/** The systems that can be measured: how each is started, what it speaks, what it needs. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Workload } from '../workloads.ts';
import { startEtcd } from './etcd.ts';
import { startFlotilla } from './flotilla.ts';
import { ensureInstalled } from './packages.ts';
import { startPostgres } from './postgres.ts';
import type { StartOptions, System } from './system.ts';

interface Contender {
  readonly start: (options: StartOptions) => Promise<System>;
  readonly speaks: readonly Workload['over'][];
  /** Packages of the system's package manager, by the program that proves that each is there. */
  readonly needs: Readonly<Record<string, string>>;
}

const contenders: ReadonlyMap<string, Contender> = new Map([
  ['etcd', { start: startEtcd, speaks: ['kv'], needs: { etcd: 'etcd-server' } }],
  [
    'postgres',
    {
      start: startPostgres,
      speaks: ['sql'],
      needs: { '/usr/lib/postgresql/15/bin/postgres': 'postgresql-15' },
    },
  ],
  ['flotilla', { start: startFlotilla, speaks: ['kv', 'sql'], needs: {} }],
]);

export const contenderNames: readonly string[] = [...contenders.keys()];

/** Whether a system speaks what the workload is made in. */
export function serves(name: string, { over }: Workload): boolean {
  return contenders.get(name)?.speaks.includes(over) ?? false;
}

/** @param parent its data and logs go into a directory of its own in there @throws Error if there is no such system */
export async function startContender(name: string, parent: string): Promise<System> {
  const contender = contenders.get(name);
  if (contender === undefined) throw new Error(`there is no system "${name}"`);
  ensureInstalled(contender.needs);
  const directory = join(parent, name);
  await mkdir(directory, { recursive: true });
  return contender.start({ directory });
}

/** Programs that make a workload's load, and their packages. */
export function ensureLoadPrograms(workloads: readonly Workload[]): void {
  if (workloads.some(({ over }) => over === 'sql'))
    ensureInstalled({
      psql: 'postgresql-client-15',
      // The one on the path is a wrapper that may find nothing.
      '/usr/lib/postgresql/15/bin/pgbench': 'postgresql-15',
    });
  if (workloads.some(({ kind }) => kind === 'sysbench')) ensureInstalled({ sysbench: 'sysbench' });
}
