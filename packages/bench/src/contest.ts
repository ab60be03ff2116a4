/** Systems side by side: every workload, in rounds, each system in its turn. */
import type { Sample } from './measure/summary.ts';
import type { Result } from './report/report.ts';
import { fillKv, sampleKv, type TurnOptions } from './run-kv.ts';
import { prepareTime, sampleTime, type TimeOptions } from './run-times.ts';
import { accountsOf, fillPgbenchTables } from './sql/pgbench-tables.ts';
import { type PgbenchOrder, samplePgbench } from './sql/run-pgbench.ts';
import { fillSysbenchTables, sampleSysbench } from './sql/run-sysbench.ts';
import { serves } from './systems/contenders.ts';
import type { System } from './systems/system.ts';
import type { SqlWorkload, Workload } from './workloads.ts';

export interface ContestOptions extends TimeOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** Of pgbench's tables, 100,000 accounts each. */
  readonly scale: number;
  /** Progress. */
  readonly say: (line: string) => void;
  /** A workload that one system could not do: the others go on, and so do the workloads after it. */
  readonly failed: (line: string) => void;
}

export async function contest(
  systems: readonly System[],
  workloads: readonly Workload[],
  options: ContestOptions,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  const tables = new Tables(options);
  for (const workload of workloads) {
    const among = systems.filter(({ name }) => serves(name, workload));
    const samples = new Map<System, Sample[]>(among.map((system) => [system, []]));
    const left = new Set(among);
    const attempt = async (system: System, work: () => Promise<void>): Promise<void> => {
      if (!left.has(system)) return;
      try {
        await work();
      } catch (error) {
        left.delete(system);
        options.failed(`${workload.name} ${system.name}: ${String(error)}`);
      }
    };
    for (const system of among) await attempt(system, () => tables.prepare(system, workload));
    for (let round = 0; round < options.rounds; round++) {
      // Every second round the other way round: nobody always comes after the same neighbour.
      const turn = round % 2 === 0 ? among : [...among].reverse();
      for (const system of turn)
        await attempt(system, async () => {
          const sample = await sampleOf(system, workload, { ...options, round });
          samples.get(system)?.push(sample);
          options.say(`${workload.name} round ${round + 1} ${system.name}: ${textOf(sample)}`);
        });
    }
    const { name, group, point } = workload;
    const found = [...samples].map(([system, of]) => ({ name: system.name, samples: of }));
    results.push({ workload: name, group, point, systems: found });
  }
  return results;
}

function textOf(sample: Sample): string {
  if (sample.kind === 'time') return `${(sample.milliseconds / 1000).toFixed(2)} s`;
  const p99 = (sample.p99 / 1000).toFixed(1);
  const rate = Math.round(sample.operationsPerSecond).toLocaleString('en');
  const why = sample.lastError === undefined ? '' : `, the last: ${sample.lastError}`;
  const errors = sample.errors === 0 ? '' : `, ${sample.errors} errors${why}`;
  return `${rate} op/s, p99 ${p99} ms${errors}`;
}

/** What systems hold for which workloads, so that nothing is filled twice without need. */
class Tables {
  private readonly options: ContestOptions;
  /** By system and length of a key: how values and keys were last written. */
  private readonly keys = new Map<string, string>();
  private readonly done = new Set<string>();

  constructor(options: ContestOptions) {
    this.options = options;
  }

  async prepare(system: System, workload: Workload): Promise<void> {
    switch (workload.kind) {
      case 'kv': {
        const { keyBytes, valueBytes, keys } = workload.job;
        const [place, what] = [`${system.name} ${keyBytes}`, `${valueBytes} ${keys}`];
        if (keys === 0 || this.keys.get(place) === what) return;
        await fillKv(system, workload.job);
        this.keys.set(place, what);
        return;
      }
      case 'sql':
        return this.once('the tables of pgbench', system, () =>
          fillPgbenchTables(system, this.options.scale),
        );
      case 'sysbench':
        return this.once('the tables of sysbench', system, () => fillSysbenchTables(system));
      case 'time':
        return this.once(`what ${workload.name} needs`, system, () =>
          prepareTime(system, workload, this.options),
        );
    }
  }

  private async once(what: string, system: System, work: () => Promise<void>): Promise<void> {
    if (this.done.has(`${what} ${system.name}`)) return;
    this.options.say(`filling ${what} in ${system.name}`);
    await work();
    this.done.add(`${what} ${system.name}`);
  }
}

async function sampleOf(
  system: System,
  workload: Workload,
  options: ContestOptions & TurnOptions,
): Promise<Sample> {
  switch (workload.kind) {
    case 'kv':
      return sampleKv(system, workload, options);
    case 'sql':
      return samplePgbench(system, pgbenchOrderOf(workload, options.scale), options);
    case 'sysbench':
      return sampleSysbench(system, workload, options);
    case 'time':
      return sampleTime(system, workload, options);
  }
}

const scannedRows = 1000;

function pgbenchOrderOf({ script, clients }: SqlWorkload, scale: number): PgbenchOrder {
  switch (script) {
    case 'tpcb':
      return { clients, script: { builtin: 'tpcb-like' } };
    case 'select':
      return { clients, script: { builtin: 'select-only' } };
    case 'scan':
      return {
        clients,
        script: `\\set first random(1, :accounts - ${scannedRows} + 1)
\\set last :first + ${scannedRows} - 1
SELECT count(*), sum(abalance) FROM pgbench_accounts WHERE aid BETWEEN :first AND :last;
`,
        variables: { accounts: accountsOf(scale) },
      };
    case 'increment':
      return {
        clients,
        script: 'UPDATE counter SET n = n + 1 WHERE id = 1;\n',
        countedBy: 'SELECT n FROM counter;',
      };
  }
}
