/**
 * `pnpm bench:floors`: how fast minimal programs are over the same libraries, so that one can tell what the libraries and
 * the machine cost from what Flotilla costs. See the package's README.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Table from 'cli-table3';
import { Command } from 'commander';
import { endOnSignals, numbersFrom, wholeNumberFrom } from '../command-line.ts';
import { processorTimes, stolenShare } from '../measure/machine.ts';
import { usageOf } from '../measure/process-tree.ts';
import { accepts, Child, freePorts } from '../systems/child.ts';
import { ensureInstalled } from '../systems/packages.ts';
import { appendAlone, levelAlone } from './alone.ts';
import type { MemberOrder } from './member.ts';
import type { RequesterOrder, RequesterResult } from './requester.ts';

const options = new Command('bench:floors')
  .description('Measures minimal programs over NATS, a synced log and LevelDB. Takes two minutes.')
  .option('--clients <list>', 'operations under way at once', numbersFrom(1), [1, 32, 256])
  .option('--seconds <n>', 'measured time of one turn', wholeNumberFrom(1), 5)
  .option('--warm-up <n>', 'seconds before it', wholeNumberFrom(0), 3)
  .parse()
  .opts<{
    readonly clients: readonly number[];
    readonly seconds: number;
    readonly warmUp: number;
  }>();

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const children: { readonly name: string; readonly process: ChildProcess }[] = [];

function start(program: string, order: MemberOrder | RequesterOrder, name: string): ChildProcess {
  const path = fileURLToPath(new URL(`./${program}.js`, import.meta.url));
  const child = fork(path, [JSON.stringify(order)]);
  children.push({ name, process: child });
  return child;
}

async function cluster(directory: string, natsPort: number): Promise<void> {
  const servers = `127.0.0.1:${natsPort}`;
  for (const [index, name] of ['leader', 'follower', 'follower'].entries()) {
    const role = name === 'leader' ? 'leader' : 'follower';
    await once(start('member', { role, servers, directory, index }, `${name} ${index}`), 'message');
  }
}

async function measure(order: RequesterOrder, natsPid: number): Promise<string[]> {
  const requester = start('requester', order, 'clients');
  await once(requester, 'message');
  const all = [...children.map((child) => child.process.pid ?? 0), natsPid];
  const before = usageOf(all);
  const [answer] = await once(requester, 'message');
  const after = usageOf(all);
  requester.send('end');
  await once(requester, 'exit');
  children.pop();
  const { operations, p50, p99 } = answer as RequesterResult;
  const cpu = all.map(
    (_, i) => (((after[i]?.cpuSeconds ?? 0) - (before[i]?.cpuSeconds ?? 0)) * 1e6) / operations,
  );
  const [leader = 0, one = 0, other = 0, clients = 0, nats = 0] = cpu;
  return [
    ...[order.operation, String(order.clients), whole(operations / order.seconds)],
    ...[p50 / 1000, p99 / 1000].map((ms) => ms.toFixed(2)),
    ...[leader, (one + other) / 2, nats, clients].map((us) => us.toFixed(1)),
  ];
}

async function overNats(directory: string): Promise<string> {
  ensureInstalled({ 'nats-server': 'nats-server' });
  const [port = 0] = await freePorts(1);
  const logFile = join(directory, 'nats.log');
  const args = ['-a', '127.0.0.1', '-p', String(port)];
  const nats = new Child({ command: 'nats-server', args, logFile });
  try {
    await nats.until(() => accepts(port), 10_000);
    await cluster(directory, port);
    const table = tableWith([
      ...['operation', 'clients', 'op/s', 'p50 ms', 'p99 ms'],
      ...['leader µs', 'follower µs', 'nats µs', 'clients µs'],
    ]);
    for (const operation of ['put', 'get'] as const)
      for (const clients of options.clients) {
        say(`${operation} by ${clients}`);
        const { seconds, warmUp: warmUpSeconds } = options;
        const order = { servers: `127.0.0.1:${port}`, operation, clients, seconds, warmUpSeconds };
        table.push(await measure(order, nats.pid));
      }
    return table.toString();
  } finally {
    for (const { process: child } of children) child.kill('SIGKILL');
    await nats.stop('SIGTERM', 2000);
  }
}

async function alone(directory: string): Promise<string> {
  const table = tableWith(['alone', 'at once', 'op/s', 'cpu µs', 'syncs/s']);
  for (const clients of options.clients) {
    say(`log and LevelDB by ${clients}`);
    const log = await appendAlone(directory, clients, options.seconds);
    const { put, get } = await levelAlone(directory, clients, options.seconds);
    const row = (name: string, rate: typeof put, syncs = ''): string[] => [
      ...[name, String(clients), whole(rate.perSecond), rate.cpu.toFixed(1), syncs],
    ];
    table.push(row('append and sync', log, whole(log.syncsPerSecond)));
    table.push(row('LevelDB batch of puts', put), row('LevelDB getMany', get));
  }
  return table.toString();
}

function tableWith(head: string[]): Table.Table {
  return new Table({
    head,
    style: { head: [], border: [] },
    colAligns: head.map((_, i) => (i === 0 ? 'left' : 'right')),
  });
}

function whole(n: number): string {
  return Math.round(n).toLocaleString('en');
}

const directory = await mkdtemp(join(tmpdir(), 'flotilla-floors-'));
endOnSignals(() => rm(directory, { recursive: true, force: true }));
try {
  const before = processorTimes();
  process.stdout.write(`${await alone(directory)}\n${await overNats(directory)}\n`);
  const stolen = stolenShare(before, processorTimes());
  process.stdout.write(`stolen by the hypervisor: ${(stolen * 100).toFixed(0)} %\n`);
} finally {
  await rm(directory, { recursive: true, force: true });
}
