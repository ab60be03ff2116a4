/** `pnpm bench`: several databases side by side on this machine, the same load in turns. See the package's README. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { medianSample, type Sample } from './measure/summary.ts';
import { type Row, tableOf } from './report/text-table.ts';
import { fillKv, sampleKv } from './run-kv.ts';
import { startEtcd } from './systems/etcd.ts';
import { startFlotilla } from './systems/flotilla.ts';
import { ensureInstalled } from './systems/packages.ts';
import type { StartOptions, System } from './systems/system.ts';
import { kvWorkloads } from './workloads.ts';

/** The first one is what the others are compared with. */
const starters: Readonly<Record<string, (options: StartOptions) => Promise<System>>> = {
  etcd: startEtcd,
  flotilla: startFlotilla,
};
const needs: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  etcd: { etcd: 'etcd-server' },
};

interface Options {
  readonly systems: string;
  readonly workloads: string;
  readonly rounds: string;
  readonly seconds: string;
  readonly warmUp: string;
  readonly json?: string;
}

const program = new Command('bench')
  .description('Measures databases side by side: three members each, durable writes, loopback.')
  .option('--systems <list>', 'which, the first is what ratios refer to', 'etcd,flotilla')
  .option(
    '--workloads <pattern>',
    'only those whose name matches this regular expression',
    '256-64B',
  )
  .option('--rounds <n>', 'each system has its turn in each round', '3')
  .option('--seconds <n>', 'measured time of one turn', '5')
  .option('--warm-up <n>', 'time before it', '2')
  .option('--json <file>', 'write all samples there')
  .parse();
const options = program.opts<Options>();
const say = (text: string): boolean => process.stderr.write(`${text}\n`);

const names = options.systems.split(',');
for (const name of names)
  if (starters[name] === undefined)
    program.error(`unknown system "${name}"; known: ${Object.keys(starters).join(', ')}`);
const workloads = kvWorkloads.filter(({ name }) => new RegExp(options.workloads).test(name));
if (workloads.length === 0)
  program.error(`no workload matches; known: ${kvWorkloads.map(({ name }) => name).join(' ')}`);

const directory = await mkdtemp(join(tmpdir(), 'flotilla-bench-'));
const systems: System[] = [];
const samples = new Map<string, Sample[]>();
try {
  for (const name of names) {
    ensureInstalled(needs[name] ?? {});
    const home = join(directory, name);
    await mkdir(home, { recursive: true });
    say(`starting ${name}`);
    const system = await starters[name]?.({ directory: home });
    if (system !== undefined) systems.push(system);
  }
  for (const workload of workloads) {
    for (const system of systems) await fillKv(system, workload);
    for (let round = 0; round < Number(options.rounds); round++) {
      // Every second round the other way round: nobody always comes after the same neighbour.
      const turn = round % 2 === 0 ? systems : [...systems].reverse();
      for (const system of turn) {
        const sample = await sampleKv(system, workload, {
          seconds: Number(options.seconds),
          warmUpSeconds: Number(options.warmUp),
          round,
        });
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
for (const { name } of workloads) {
  const first = medianSample(samples.get(`${name} ${names[0]}`) ?? []);
  for (const system of names) {
    const sample = medianSample(samples.get(`${name} ${system}`) ?? []);
    const ratio = sample.operationsPerSecond / first.operationsPerSecond;
    rows.push({ workload: name, system, sample, ratio: system === names[0] ? undefined : ratio });
  }
}
process.stdout.write(`${tableOf(rows)}\n`);
if (options.json !== undefined)
  await writeFile(options.json, JSON.stringify(Object.fromEntries(samples), null, 1));
