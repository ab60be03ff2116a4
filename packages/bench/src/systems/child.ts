/** Starting and stopping the servers of others: by pid, with a log file, and only when they really answer. */
import { type ChildProcess, spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { runsAsProcess, treesOf } from '../measure/process-tree.ts';
import type { Endpoints, System, SystemProcess } from './system.ts';

export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly logFile: string;
  readonly user?: { readonly uid: number; readonly gid: number };
}

export class Child {
  readonly pid: number;
  private readonly process: ChildProcess;
  private readonly ended: Promise<void>;
  private readonly options: ChildOptions;

  constructor(options: ChildOptions) {
    const log = openSync(options.logFile, 'a');
    this.options = options;
    this.process = spawn(options.command, options.args, {
      stdio: ['ignore', log, log],
      ...options.user,
    });
    this.ended = new Promise((resolve) => {
      this.process.once('exit', () => resolve());
      this.process.once('error', () => resolve());
    });
    if (this.process.pid === undefined) throw new Error(`${options.command} cannot be started`);
    this.pid = this.process.pid;
  }

  /** Throws with the end of the log if the process ends first or time runs out. */
  async until(ready: () => Promise<boolean>, timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!(await ready())) {
      if (!this.runs || Date.now() > deadline) {
        const log = await readFile(this.options.logFile, 'utf8');
        throw new Error(`${this.options.command} does not serve:\n${log.slice(-2000)}`);
      }
      await sleep(50);
    }
  }

  /** It has not ended yet. */
  get runs(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** Resolves when it has ended. */
  get end(): Promise<void> {
    return this.ended;
  }

  /** Another process like this one. */
  again(): Child {
    return new Child(this.options);
  }

  /** Asks it to end and, after `graceMs`, makes it. */
  async stop(signal: NodeJS.Signals, graceMs: number): Promise<void> {
    if (!this.runs) return;
    this.process.kill(signal);
    const late = setTimeout(() => this.process.kill('SIGKILL'), graceMs);
    await this.ended;
    clearTimeout(late);
  }
}

/** Servers of one system by name, those that were killed included. */
export class Children {
  private readonly byName = new Map<string, Child>();

  add(name: string, child: Child): void {
    this.byName.set(name, child);
  }

  get processes(): readonly SystemProcess[] {
    return [...this.byName].map(([name, { pid }]) => ({ name, pid }));
  }

  /** A system of these servers, all of which hold data. */
  asSystem(name: string, endpoints: Endpoints, stop: () => Promise<void>): System {
    const children = this;
    return {
      ...{ name, endpoints, stop },
      members: [...this.byName.keys()],
      get processes() {
        return children.processes;
      },
      kill: (each) => this.kill(each),
      async revive() {
        children.revive();
      },
    };
  }

  /** `kill -9` of one or all, with what they have started: nothing is left that the next start could trip over. */
  async kill(name?: string): Promise<void> {
    const chosen = [...this.byName].filter(([each]) => name === undefined || each === name);
    const pids = treesOf(chosen.filter(([, child]) => child.runs).map(([, { pid }]) => pid));
    for (const pid of pids) if (runsAsProcess(pid)) process.kill(pid, 'SIGKILL');
    while (pids.some(runsAsProcess)) await sleep(10);
    await Promise.all(chosen.map(([, child]) => child.end));
  }

  /** Starts again what has ended. */
  revive(): void {
    for (const [name, child] of this.byName) if (!child.runs) this.byName.set(name, child.again());
  }

  async stop(signal: NodeJS.Signals, graceMs: number): Promise<void> {
    await Promise.all([...this.byName.values()].map((child) => child.stop(signal, graceMs)));
  }
}

export async function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Free at this moment. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
