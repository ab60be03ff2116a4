#!/usr/bin/env node
/**
 * What a cluster costs that does nothing: three store processes, a nats-server, real disks, N ranges with three replicas
 * each. Per N: how long founding and a restart take, then CPU, memory and NATS messages of each store while it idles.
 * Everything lives in a temporary directory and ends with this process.
 */
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { processorTimes, stolenShare } from './dist/measure/machine.js';

const help = `Usage: node packages/bench/idle-groups.mjs [options]

Measures three idle stores with a founding of N ranges each. Build first (pnpm run build). Needs nats-server and /proc.

  --groups LIST     numbers of ranges, comma-separated (default 10,100,1000)
  --seconds S       length of the measurement (default 20)
  --settle S        it begins when no range has changed its leader for this long (default 15)
  --cpu-profile DIR a V8 CPU profile of every store goes there
  --keep            keep data directories and logs, and say where they are
  --json            one line of JSON per N instead of a table
`;

const { values } = parseArgs({
  options: {
    groups: { type: 'string', default: '10,100,1000' },
    seconds: { type: 'string', default: '20' },
    settle: { type: 'string', default: '15' },
    'cpu-profile': { type: 'string' },
    keep: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const storeIds = [1, 2, 3];
const ticksPerSecond = 100;
const pageBytes = 4096;
const run = promisify(execFile);

async function freePort() {
  const server = createServer();
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Processes of one cluster, all of them ours and all ended by `stop`. */
class Cluster {
  static running;
  children = new Map();
  readyAfterMs = new Map();

  constructor(data) {
    this.data = data;
  }

  async start() {
    this.port = await freePort();
    this.monitorPort = await freePort();
    const config = join(root, 'deploy/nats/flotilla.conf');
    const nats = [
      '-c',
      config,
      '-a',
      '127.0.0.1',
      '-p',
      `${this.port}`,
      '-m',
      `${this.monitorPort}`,
    ];
    this.spawn('nats', process.env.FLOTILLA_NATS_SERVER ?? 'nats-server', nats);
    await until('nats-server answers', 10_000, () => this.monitor('varz'));
    await this.startStores();
  }

  get nats() {
    return ['--nats', `nats://127.0.0.1:${this.port}`, '--cluster', 'bench'];
  }

  async startStores() {
    await Promise.all(storeIds.map((id) => this.startStore(id)));
  }

  async startStore(id) {
    const startedAt = performance.now();
    const readyFile = join(this.data, `ready-${id}.json`);
    rmSync(readyFile, { force: true });
    const profile = values['cpu-profile'];
    const options = profile ? ['--cpu-prof', `--cpu-prof-dir=${profile}`] : [];
    const program = join(root, 'packages/cli/dist/main.js');
    const args = [
      ...['start', '--roles', 'store', '--store-id', `${id}`, '--machine', `machine-${id}`],
      ...['--data', join(this.data, `store-${id}`), '--ready-file', readyFile, ...this.nats],
    ];
    this.spawn(`store-${id}`, process.execPath, [...options, program, ...args]);
    await until(`store ${id} serves`, 120_000, () => readFileSync(readyFile, 'utf8'));
    this.readyAfterMs.set(id, performance.now() - startedAt);
  }

  spawn(name, command, args) {
    const log = openSync(join(this.data, `${name}.log`), 'a');
    const child = spawn(command, args, {
      stdio: ['ignore', log, log],
      env: { ...process.env, UV_THREADPOOL_SIZE: '16' },
    });
    child.once('error', (error) => process.stderr.write(`${name}: ${error.message}\n`));
    this.children.set(name, child);
  }

  async init(groups) {
    const args = ['init', '--stores', '3', '--ranges', `${groups}`, '--timeout', '120'];
    await run(join(root, 'bin/flotilla'), [...args, ...this.nats]);
  }

  async status() {
    const args = ['status', '--json', '--timeout', '10', ...this.nats];
    const { stdout } = await run(join(root, 'bin/flotilla'), args, { maxBuffer: 256 << 20 });
    return JSON.parse(stdout);
  }

  /** Every range is led. @returns how long it took */
  async led(groups) {
    const startedAt = performance.now();
    await until('every range has a leaseholder', 120_000, async () => {
      const { ranges } = await this.status();
      const led = ranges.filter(({ leaseholderStoreId }) => leaseholderStoreId > 0);
      return led.length === groups || undefined;
    });
    return performance.now() - startedAt;
  }

  /** No leadership has moved for `ms`. */
  async settled(ms) {
    let last;
    await until('leaders stay where they are', 600_000, async () => {
      const { ranges } = await this.status();
      const now = ranges.reduce((sum, { term }) => sum + term, 0);
      const quiet = now === last || undefined;
      last = now;
      if (quiet === undefined) await sleep(ms);
      return quiet;
    });
    // What asking has cost is over, and no report is about to be repeated.
    await sleep(10_000);
  }

  async monitor(page) {
    const response = await fetch(`http://127.0.0.1:${this.monitorPort}/${page}`);
    return response.ok ? response.json() : undefined;
  }

  /** CPU, memory and NATS traffic of every store up to now. */
  async sample() {
    const { connections } = await this.monitor('connz');
    const at = performance.now();
    return storeIds.map((id) => {
      const { pid } = this.children.get(`store-${id}`);
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
      const mine = connections.filter(({ name }) => name?.includes(`store-${id}`));
      const sum = (field) => mine.reduce((total, connection) => total + connection[field], 0);
      return {
        ...{ at, id, connections: mine.length },
        cpuMs: ((Number(stat[11]) + Number(stat[12])) * 1000) / ticksPerSecond,
        rssBytes: Number(stat[21]) * pageBytes,
        // As the server counts: what it sends is what the store receives.
        ...{ inMessages: sum('out_msgs'), outMessages: sum('in_msgs') },
        ...{ inBytes: sum('out_bytes'), outBytes: sum('in_bytes') },
      };
    });
  }

  async stopStores() {
    await this.stop([...this.children.keys()].filter((name) => name.startsWith('store')));
  }

  async stop(names = [...this.children.keys()]) {
    const ending = names.map(async (name) => {
      const child = this.children.get(name);
      this.children.delete(name);
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      const hard = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(hard);
    });
    await Promise.all(ending);
  }
}

for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => {
    for (const child of Cluster.running?.children.values() ?? []) child.kill('SIGKILL');
    process.exit(1);
  });

async function until(what, timeoutMs, attempt) {
  const deadline = performance.now() + timeoutMs;
  let last;
  for (;;) {
    try {
      const value = await attempt();
      if (value !== undefined) return value;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`, { cause: last });
    await sleep(50);
  }
}

async function measure(groups) {
  const cluster = new Cluster(mkdtempSync(join(tmpdir(), 'flotilla-idle-')));
  Cluster.running = cluster;
  try {
    await cluster.start();
    const foundingFrom = performance.now();
    await cluster.init(groups);
    const foundMs = performance.now() - foundingFrom;
    await cluster.led(groups);
    await cluster.settled(Number(values.settle) * 1000);
    const machineBefore = processorTimes();
    const before = await cluster.sample();
    await sleep(Number(values.seconds) * 1000);
    const after = await cluster.sample();
    const machineAfter = processorTimes();
    await cluster.stopStores();
    await cluster.startStores();
    const ledMs = await cluster.led(groups);
    const restartMs = Math.max(...cluster.readyAfterMs.values());
    return {
      ...{ groups, foundMs, restartMs, ledMs },
      stolenPercent: 100 * stolenShare(machineBefore, machineAfter),
      stores: storeIds.map((_, i) => rates(before[i], after[i])),
    };
  } finally {
    await cluster.stop();
    if (values.keep) process.stderr.write(`data of ${groups} groups: ${cluster.data}\n`);
    else rmSync(cluster.data, { recursive: true, force: true });
  }
}

function rates(before, after) {
  const seconds = (after.at - before.at) / 1000;
  const perSecond = (field) => (after[field] - before[field]) / seconds;
  return {
    store: after.id,
    cpuPercent: perSecond('cpuMs') / 10,
    rssMib: after.rssBytes / 2 ** 20,
    ...{ messagesIn: perSecond('inMessages'), messagesOut: perSecond('outMessages') },
    ...{ kibIn: perSecond('inBytes') / 1024, kibOut: perSecond('outBytes') / 1024 },
  };
}

const columns = [
  ['groups', 8],
  ['store', 7],
  ['CPU %', 8],
  ['RSS MiB', 9],
  ['msg/s in', 10],
  ['msg/s out', 11],
  ['KiB/s in', 10],
  ['KiB/s out', 11],
  ['found s', 9],
  ['restart s', 11],
  ['stolen %', 10],
];

function line(cells) {
  return `${cells.map((cell, i) => String(cell).padStart(columns[i][1])).join('')}\n`;
}

if (!values.json) {
  const cores = cpus();
  process.stdout.write(
    `${cores.length} cores (${cores[0]?.model}), node ${process.versions.node}, ` +
      `${values.seconds} s idle after ${values.settle} s; CPU in % of one core\n`,
  );
  process.stdout.write(line(columns.map(([name]) => name)));
}
for (const groups of values.groups.split(',').map(Number)) {
  const result = await measure(groups);
  if (values.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  else
    for (const [i, store] of result.stores.entries())
      process.stdout.write(
        line([
          ...[i === 0 ? groups : '', store.store, store.cpuPercent.toFixed(1)],
          ...[store.rssMib.toFixed(0), store.messagesIn.toFixed(0), store.messagesOut.toFixed(0)],
          ...[store.kibIn.toFixed(1), store.kibOut.toFixed(1)],
          i === 0 ? (result.foundMs / 1000).toFixed(1) : '',
          i === 0 ? (result.restartMs / 1000).toFixed(1) : '',
          i === 0 ? result.stolenPercent.toFixed(0) : '',
        ]),
      );
}
