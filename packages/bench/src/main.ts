/** `pnpm bench`: several databases side by side on this machine, the same load in turns. See the package's README. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { medianSample, type Sample } from './measure/summary.ts';
import { type Row, tableOf } from './report/text-table.ts';
import { fillKv, sampleKv } from './run-kv.ts';
import { fillSql, sampleSql } from './run-sql.ts';
import { startEtcd } from './systems/etcd.ts';
import { startFlotilla } from './systems/flotilla.ts';
import { ensureInstalled } from './systems/packages.ts';
import { startPostgres } from './systems/postgres.ts';
import type { StartOptions, System } from './systems/system.ts';
import { kvWorkloads, sqlWorkloads, type Workload } from './workloads.ts';

interface Contender {
  readonly start: (options: StartOptions) => Promise<System>;
  readonly serves: readonly Workload['kind'][];
}

const contenders: Readonly<Record<string, Contender>> = {
  etcd: { start: startEtcd, serves: ['kv'] },
  postgres: { start: startPostgres, serves: ['sql'] },
  flotilla: { start: startFlotilla, serves: ['kv', 'sql'] },
};
const needs: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  etcd: { etcd: 'etcd-server' },
  postgres: { '/usr/lib/postgresql/15/bin/postgres': 'postgresql-15' },
};

interface Options {
  readonly systems: string;
  readonly workloads: string;
  readonly rounds: string;
  readonly seconds: string;
  readonly warmUp: string;
  readonly scale: string;
  readonly json?: string;
}

const program = new Command('bench')
  .description('Measures databases side by side: three members each, durable writes, loopback.')
  .option(
    '--systems <list>',
    'which, as far as they serve the workload; the first is what ratios refer to',
    'etcd,postgres,flotilla',
  )
  .option(
    '--workloads <pattern>',
    'only those whose name matches this regular expression',
    '256-64B',
  )
  .option('--rounds <n>', 'each system has its turn in each round', '3')
  .option('--seconds <n>', 'measured time of one turn', '5')
  .option('--warm-up <n>', 'time before it', '2')
  .option('--scale <n>', "of pgbench's tables, 100,000 accounts each", '10')
  .option('--json <file>', 'write all samples there')
  .parse();
const options = program.opts<Options>();
const say = (text: string): boolean => process.stderr.write(`${text}\n`);

const asked = options.systems.split(',');
for (const name of asked)
  if (contenders[name] === undefined)
    program.error(`unknown system "${name}"; known: ${Object.keys(contenders).join(', ')}`);
const known: readonly Workload[] = [...kvWorkloads, ...sqlWorkloads];
const workloads = known.filter(({ name }) => new RegExp(options.workloads).test(name));
if (workloads.length === 0)
  program.error(`no workload matches; known: ${known.map(({ name }) => name).join(' ')}`);
const serving = ({ kind }: Workload): string[] =>
  asked.filter((name) => contenders[name]?.serves.includes(kind));
const names = asked.filter((name) => workloads.some((each) => serving(each).includes(name)));

const directory = await mkdtemp(join(tmpdir(), 'flotilla-bench-'));
const systems: System[] = [];
const samples = new Map<string, Sample[]>();
try {
  for (const name of names) {
    ensureInstalled(needs[name] ?? {});
    const home = join(directory, name);
    await mkdir(home, { recursive: true });
    say(`starting ${name}`);
    const system = await contenders[name]?.start({ directory: home });
    if (system !== undefined) systems.push(system);
  }
  if (workloads.some(({ kind }) => kind === 'sql'))
    for (const system of systems) {
      if (contenders[system.name]?.serves.includes('sql') !== true) continue;
      say(`filling ${system.name}`);
      await fillSql(system, Number(options.scale));
    }
  for (const workload of workloads) {
    const among = systems.filter(({ name }) => serving(workload).includes(name));
    if (workload.kind === 'kv') for (const system of among) await fillKv(system, workload);
    for (let round = 0; round < Number(options.rounds); round++) {
      // Every second round the other way round: nobody always comes after the same neighbour.
      const turn = round % 2 === 0 ? among : [...among].reverse();
      for (const system of turn) {
        const how = {
          seconds: Number(options.seconds),
          warmUpSeconds: Number(options.warmUp),
          round,
        };
        const sample =
          workload.kind === 'kv'
            ? await sampleKv(system, workload, how)
            : await sampleSql(system, workload, how);
        const key = `${workload.name} ${system.name}`;
        samples.set(key, [...(samples.get(key) ?? []), sample]);
        const rate = Math.round(sample.operationsPerSecond).toLocaleString('en');
        say(`${workload.name} round ${round + 1} ${system.name}: ${rate} op/s`);
      }
    }
  }
} finally {
  for (const system of systems) await system.stop().catch((error: unknown) => say(String(error)));
  await rm(directory, { recursive: true, force: true });
}

const rows: Row[] = [];
for (const workload of workloads) {
  const { name } = workload;
  const among = serving(workload);
  const first = medianSample(samples.get(`${name} ${among[0]}`) ?? []);
  for (const system of among) {
    const sample = medianSample(samples.get(`${name} ${system}`) ?? []);
    const ratio = sample.operationsPerSecond / first.operationsPerSecond;
    rows.push({ workload: name, system, sample, ratio: system === among[0] ? undefined : ratio });
  }
}
process.stdout.write(`${tableOf(rows)}\n`);
if (options.json !== undefined)
  await writeFile(options.json, JSON.stringify(Object.fromEntries(samples), null, 1));
