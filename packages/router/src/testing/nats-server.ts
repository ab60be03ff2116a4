/**
 * A nats-server process of one's own for tests: loopback, a port of its own, killed and started again at will. Fails
 * with a hint where the program is missing; tests that need it are never skipped.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface TestNatsServerOptions {
  /** Further arguments of the program, such as `-c file`. */
  readonly args?: readonly string[];
  /** Default: one the system gives. */
  readonly port?: number;
}

export class TestNatsServer {
  private readonly args: readonly string[];
  private directory: string | undefined;
  private child: ChildProcess | undefined;
  private portNumber: number;

  private constructor(options: TestNatsServerOptions) {
    this.args = options.args ?? [];
    this.portNumber = options.port ?? -1;
  }

  static async start(options: TestNatsServerOptions = {}): Promise<TestNatsServer> {
    const server = new TestNatsServer(options);
    await server.startAgain();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.portNumber}`;
  }

  get port(): number {
    return this.portNumber;
  }

  /** Starts the program on the port it had before. */
  async startAgain(): Promise<void> {
    const directory = await mkdtemp(join(tmpdir(), 'flotilla-nats-'));
    this.directory = directory;
    const child = spawn(
      'nats-server',
      [
        '-a',
        '127.0.0.1',
        '-p',
        String(this.portNumber),
        '--ports_file_dir',
        directory,
        ...this.args,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.child = child;
    let log = '';
    let ended: string | undefined;
    child.stderr?.on('data', (chunk: Buffer) => {
      log = (log + chunk.toString()).slice(-4000);
    });
    child.on('error', (error) => {
      ended = String(error);
    });
    child.on('exit', (code) => {
      ended ??= `exit code ${code}`;
    });
    for (let waited = 0; ; waited += 10) {
      const port = await readPort(directory);
      if (port !== undefined) {
        this.portNumber = port;
        return;
      }
      if (ended !== undefined || waited > 10_000) {
        await this.stop();
        const hint = 'these tests need the program nats-server in PATH (Debian: nats-server)';
        throw new Error(`nats-server did not start: ${ended ?? 'timeout'}; ${hint}\n${log}`);
      }
      await sleep(10);
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.child?.kill(signal);
  }

  /** Ends the process at once and waits for its end. */
  async stop(): Promise<void> {
    const { child, directory } = this;
    this.child = undefined;
    if (child !== undefined && child.exitCode === null && child.pid !== undefined) {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
    }
    if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  }
}

async function readPort(directory: string): Promise<number | undefined> {
  const file = (await readdir(directory)).find((name) => name.endsWith('.ports'));
  if (file === undefined) return undefined;
  try {
    const ports: { nats?: string[] } = JSON.parse(await readFile(join(directory, file), 'utf8'));
    const port = Number(ports.nats?.[0]?.split(':').at(-1));
    return Number.isInteger(port) && port > 0 ? port : undefined;
  } catch {
    return undefined; // half written: look again
  }
}
