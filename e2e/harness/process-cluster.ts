/**
 * A cluster of real processes that are children of this one: nats-server, stores, one gateway. Unlike the demo it grows:
 * stores join, are paused, die and come back under one name each. Used by the campaigns; `stop` ends what it started.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkout, childEnvironment } from './checkout.ts';
import type { ClusterAddress } from './connections.ts';
import { run } from './demo-cluster.ts';
import { eventually } from './eventually.ts';

export interface ProcessClusterOptions {
  /** How many the cluster is founded with. */
  readonly stores: number;
  /** How many ranges the key space is cut into at first. Default: as `flotilla init` does. */
  readonly ranges?: number;
  /** Settings of all processes, `FLOTILLA_…`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Every store is in a zone of its own, `zoneName`: wishes of spans can name it. Default: none has one. */
  readonly zones?: boolean;
}

interface Ready {
  readonly ports: { readonly http?: number; readonly gateway?: number };
}

const gatewayName = 'gateway';
const natsName = 'nats';

export function storeName(storeId: number): string {
  return `store-${storeId}`;
}

export function zoneName(storeId: number): string {
  return `zone-${storeId}`;
}

export class ProcessCluster implements ClusterAddress {
  readonly data: string;
  readonly clusterName = 'campaign';
  private readonly settings: Readonly<Record<string, string>>;
  private readonly zones: boolean;
  private readonly children = new Map<string, ChildProcess>();
  private readonly ready = new Map<string, Ready>();
  /** Ends nothing by surprise: what was killed on purpose is not an accident. */
  private readonly expectedToEnd = new Set<ChildProcess>();
  /** Processes that ended by themselves. A campaign must end with none. */
  readonly accidents: string[] = [];
  private natsPort = 0;
  private lastStoreId = 0;

  private constructor(data: string, { settings = {}, zones = false }: ProcessClusterOptions) {
    this.data = data;
    this.settings = settings;
    this.zones = zones;
  }

  static async start(options: ProcessClusterOptions): Promise<ProcessCluster> {
    const data = await mkdtemp(join(tmpdir(), 'flotilla-campaign-'));
    const cluster = new ProcessCluster(data, options);
    try {
      await mkdir(join(data, 'logs'));
      await cluster.found(options);
      return cluster;
    } catch (error) {
      await cluster.stop({ keepData: true });
      throw new Error(`the cluster did not start; its logs are in ${data}`, { cause: error });
    }
  }

  get natsUrl(): string {
    return `nats://127.0.0.1:${this.natsPort}`;
  }

  get gatewayUrl(): string {
    const port = this.ready.get(gatewayName)?.ports.gateway ?? 0;
    return `postgres://flotilla@127.0.0.1:${port}/flotilla`;
  }

  /** Flags of any `flotilla` command that talks to this cluster. */
  get connection(): readonly string[] {
    return ['--nats', this.natsUrl, '--cluster', this.clusterName];
  }

  /** Of every process that runs, by name. */
  get pids(): ReadonlyMap<string, number> {
    return new Map([...this.children].map(([name, child]) => [name, child.pid ?? 0]));
  }

  /** Numbers of the stores whose processes run, paused ones too; ascending. */
  get storeIds(): readonly number[] {
    return [...this.children.keys()]
      .filter((name) => name.startsWith('store-'))
      .map((name) => Number(name.slice('store-'.length)))
      .sort((a, b) => a - b);
  }

  storeDirectory(storeId: number): string {
    return join(this.data, storeName(storeId));
  }

  /** Starts a store of a new number with an empty directory; it joins by itself. @returns its number */
  async addStore(): Promise<number> {
    const storeId = ++this.lastStoreId;
    await this.startStore(storeId);
    return storeId;
  }

  /** Starts a store again that was killed or terminated. */
  async startStore(storeId: number): Promise<void> {
    await this.startFlotilla(storeName(storeId), [
      ...['--roles', 'store', '--store-id', `${storeId}`, '--machine', `machine-${storeId}`],
      ...(this.zones ? ['--zone', zoneName(storeId)] : []),
      ...['--data', this.storeDirectory(storeId), '--http', '127.0.0.1:0'],
    ]);
  }

  signal(name: string, signal: NodeJS.Signals): void {
    this.child(name).kill(signal);
  }

  /** Ends a process and waits until it is gone. */
  async end(name: string, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.child(name);
    this.expectedToEnd.add(child);
    this.children.delete(name);
    await ended(child, signal);
  }

  /** What a store tells Prometheus, by metric; NaN where there is no such metric. */
  async metric(storeId: number, name: string): Promise<number> {
    const port = this.ready.get(storeName(storeId))?.ports.http ?? 0;
    const response = await fetch(`http://127.0.0.1:${port}/metrics`);
    const line = (await response.text()).split('\n').find((text) => text.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1) ?? Number.NaN);
  }

  /** Runs a command of the built program against this cluster. */
  async flotilla(...args: readonly string[]): Promise<string> {
    const program = join(checkout, 'bin/flotilla');
    const { stdout } = await run(program, [...args, ...this.connection], 600_000);
    return stdout;
  }

  async stop(options: { readonly keepData: boolean }): Promise<void> {
    const children = [...this.children.values()];
    this.children.clear();
    for (const child of children) this.expectedToEnd.add(child);
    // A paused process hears SIGKILL only.
    await Promise.all(children.map((child) => ended(child, 'SIGKILL')));
    if (!options.keepData) await rm(this.data, { recursive: true, force: true, maxRetries: 3 });
  }

  /** For the handler of signals: no waiting. */
  killAll(): void {
    for (const child of this.children.values()) child.kill('SIGKILL');
  }

  private async found(options: ProcessClusterOptions): Promise<void> {
    this.natsPort = await freePort();
    const nats = process.env.FLOTILLA_NATS_SERVER ?? 'nats-server';
    const config = join(checkout, 'deploy/nats/flotilla.conf');
    this.spawn(natsName, nats, ['-c', config, '-a', '127.0.0.1', '-p', `${this.natsPort}`]);
    await eventually('nats-server answers', { timeoutMs: 10_000 }, () => accepts(this.natsPort));
    await Promise.all(Array.from({ length: options.stores }, () => this.addStore()));
    const ranges = options.ranges === undefined ? [] : ['--ranges', `${options.ranges}`];
    await this.flotilla('init', '--stores', `${options.stores}`, '--timeout', '120', ...ranges);
    await this.startFlotilla(gatewayName, ['--roles', 'gateway', '--listen', '127.0.0.1:0']);
  }

  private async startFlotilla(name: string, args: readonly string[]): Promise<void> {
    const readyFile = join(this.data, `${name}.ready.json`);
    await rm(readyFile, { force: true });
    const all = ['start', ...args, ...this.connection, '--ready-file', readyFile];
    const child = this.spawn(name, join(checkout, 'bin/flotilla'), all);
    const { value } = await eventually(`${name} serves`, { timeoutMs: 120_000 }, async () => {
      if (child.exitCode !== null) return 'ended';
      return JSON.parse(await readFile(readyFile, 'utf8')) as Ready;
    });
    if (value === 'ended') throw new Error(`${name} ended with ${child.exitCode} at its start`);
    this.ready.set(name, value);
  }

  private spawn(name: string, command: string, args: readonly string[]): ChildProcess {
    const log = openSync(join(this.data, 'logs', `${name}.log`), 'a');
    const env = { ...childEnvironment(), ...this.settings };
    const child = spawn(command, args, { stdio: ['ignore', log, log], env });
    closeSync(log);
    child.once('exit', (code, signal) => {
      if (this.expectedToEnd.has(child)) return;
      this.accidents.push(`${name} ended by itself with ${signal ?? code}`);
      this.children.delete(name);
    });
    child.once('error', (error) => this.accidents.push(`${name}: ${error.message}`));
    this.children.set(name, child);
    return child;
  }

  private child(name: string): ChildProcess {
    const child = this.children.get(name);
    if (child === undefined) throw new Error(`the cluster runs no ${name}`);
    return child;
  }
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exit = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill(signal);
  const late = setTimeout(() => child.kill('SIGKILL'), 15_000);
  await exit;
  clearTimeout(late);
}

/** Free at this moment. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== 'object' || address === null) throw new Error('a listener has a port');
  return address.port;
}

function accepts(port: number): Promise<true> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}
