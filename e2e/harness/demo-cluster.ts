/**
 * A whole cluster of real processes, driven as a user would: `bin/demo --background --json`, the `restart` commands that
 * it prints, `bin/demo --stop`. Whatever happens, `stop` leaves no process of it alive and no file of it behind.
 */
import { type ChildProcess, type ExecFileException, execFile, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkout, childEnvironment } from './checkout.ts';
import { eventually } from './eventually.ts';

const demo = join(checkout, 'bin/demo');

export type Role = 'store' | 'gateway' | 'nats';

export interface DemoProcess {
  readonly name: string;
  readonly role: Role;
  readonly pid: number;
  readonly restart: string;
}

interface DemoDescription {
  readonly gateways: readonly string[];
  readonly nats: readonly string[];
  readonly processes: readonly DemoProcess[];
  readonly cluster?: string;
}

export class DemoCluster {
  readonly data: string;
  readonly clusterName: string;
  private description: DemoDescription;
  /** Every process this cluster ever had: what `stop` has to see dead. */
  private readonly pids = new Set<number>();

  private constructor(data: string, description: DemoDescription) {
    this.data = data;
    this.description = description;
    this.clusterName = description.cluster ?? 'demo';
    for (const { pid } of description.processes) this.pids.add(pid);
  }

  static async start(
    options: {
      readonly stores?: number;
      readonly data?: string;
      /** Every store is a gateway too. */
      readonly together?: boolean;
      /** Settings for all of its processes. */
      readonly environment?: Readonly<Record<string, string>>;
    } = {},
  ): Promise<DemoCluster> {
    const data = options.data ?? (await mkdtemp(join(tmpdir(), 'flotilla-e2e-')));
    const args = ['--background', '--json', '--data', data, '--port', '0'];
    if (options.stores !== undefined) args.push('--stores', String(options.stores));
    if (options.together === true) args.push('--together');
    try {
      const { stdout } = await run(demo, args, 60_000, options.environment);
      return new DemoCluster(data, JSON.parse(stdout) as DemoDescription);
    } catch (error) {
      const logs = await tailOfLogs(data);
      await run(demo, ['--stop', '--data', data], 30_000).catch(() => {});
      await rm(data, { recursive: true, force: true });
      throw new Error(`the demo did not start\n${logs}`, { cause: error });
    }
  }

  get gatewayUrl(): string {
    return first(this.description.gateways, 'gateway');
  }

  /** With `together`: the gateway in the process of a store. */
  gatewayUrlOf(storeId: number): string {
    return first(this.description.gateways.slice(storeId - 1), `gateway ${storeId}`);
  }

  get natsUrl(): string {
    return first(this.description.nats, 'nats-server');
  }

  get processes(): readonly DemoProcess[] {
    return this.description.processes;
  }

  process(name: string): DemoProcess {
    const found = this.processes.find((candidate) => candidate.name === name);
    if (found === undefined) throw new Error(`the demo has no process ${name}`);
    return found;
  }

  ofRole(role: Role): readonly DemoProcess[] {
    return this.processes.filter((candidate) => candidate.role === role);
  }

  /** The demo names stores `store-<id>`. */
  store(storeId: number): DemoProcess {
    return this.process(`store-${storeId}`);
  }

  signal(name: string, signal: NodeJS.Signals): void {
    process.kill(this.process(name).pid, signal);
  }

  /** `kill -9`, and waits until the process is gone. */
  async kill(...names: readonly string[]): Promise<void> {
    for (const name of names) this.signal(name, 'SIGKILL');
    for (const name of names) await gone(this.process(name).pid);
  }

  /** Ends a process as an operator would, and waits until it is gone. */
  async terminate(name: string): Promise<void> {
    this.signal(name, 'SIGTERM');
    await gone(this.process(name).pid);
  }

  /** Starts a process again with its old data. @returns when the restart command did */
  async restart(name: string): Promise<void> {
    const { restart } = this.process(name);
    const { stdout } = await run('/bin/sh', ['-c', restart], 30_000);
    const pid = Number(stdout.trim());
    if (!Number.isSafeInteger(pid) || pid < 1)
      throw new Error(`restart of ${name} printed "${stdout}", not a pid`);
    this.pids.add(pid);
    const processes = this.processes.map((old) => (old.name === name ? { ...old, pid } : old));
    this.description = { ...this.description, processes };
  }

  /** Stops everything and keeps the data, as `--stop` promises. */
  async stopKeepingData(): Promise<void> {
    await run(demo, ['--stop', '--data', this.data], 60_000);
    for (const pid of this.pids) await gone(pid);
  }

  /** Never throws: it runs in afterAll, where a failure would hide the test's own. */
  async stop(): Promise<void> {
    await run(demo, ['--stop', '--data', this.data], 60_000).catch(() => {});
    for (const pid of this.pids) if (await isOurs(pid, this.data)) signalQuietly(pid, 'SIGKILL');
    if (process.env.E2E_KEEP_DATA === undefined)
      await rm(this.data, { recursive: true, force: true }).catch(() => {});
  }

  /** The end of every log, for the message of a failed test. */
  logs(): Promise<string> {
    return tailOfLogs(this.data);
  }
}

/** Starts a `flotilla` process that goes on; the caller ends it. */
export function startFlotilla(...args: readonly string[]): ChildProcess {
  return spawn(join(checkout, 'bin/flotilla'), args, { stdio: 'ignore', env: childEnvironment() });
}

/** Runs the built `flotilla` program. */
export async function flotilla(...args: readonly string[]): Promise<string> {
  const { stdout } = await run(join(checkout, 'bin/flotilla'), args, 30_000);
  return stdout;
}

export async function run(
  file: string,
  args: readonly string[],
  timeoutMs: number,
  environment: Readonly<Record<string, string>> = {},
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  return new Promise((resolve, reject) => {
    execFile(
      file,
      [...args],
      {
        timeout: timeoutMs,
        maxBuffer: 64 * 1024 * 1024,
        env: { ...childEnvironment(), ...environment },
      },
      (error, stdout, stderr) => {
        if (error === null) resolve({ stdout, stderr });
        else reject(new Error(failureOf(file, args, error, `${stderr}${stdout}`)));
      },
    );
  });
}

function failureOf(
  file: string,
  args: readonly string[],
  error: ExecFileException,
  output: string,
): string {
  const how = error.killed ? 'took too long' : `ended with ${error.signal ?? error.code}`;
  return `${file} ${args.join(' ')} ${how}\n${output}`;
}

async function gone(pid: number): Promise<void> {
  await eventually(`process ${pid} ends`, { timeoutMs: 15_000, everyMs: 20 }, async () =>
    (await stateOf(pid)) === undefined ? true : undefined,
  );
}

/** One-letter state of a process; undefined where there is none, or only a zombie. */
async function stateOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (stat === undefined) return undefined;
  const state = stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
  return state === 'Z' || state === 'X' ? undefined : state;
}

/** A pid may have been given to a stranger meanwhile: only a process that names our directory is ours. */
async function isOurs(pid: number, data: string): Promise<boolean> {
  const [command, environment] = await Promise.all(
    ['cmdline', 'cwd'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '')),
  );
  return [command, environment].some((text) => text?.includes(data));
}

function signalQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself.
  }
}

async function tailOfLogs(data: string): Promise<string> {
  const directory = join(data, 'logs');
  const names = await readdir(directory).catch(() => []);
  const tails = names.map(async (name) => {
    const text = await readFile(join(directory, name), 'utf8').catch(() => '');
    return `--- ${name}\n${text.split('\n').slice(-15).join('\n')}`;
  });
  return (await Promise.all(tails)).join('\n');
}

function first(urls: readonly string[], what: string): string {
  const [url] = urls;
  if (url === undefined) throw new Error(`the demo has no ${what}`);
  return url;
}
