/**
 * The built program as a process: exit codes, signals, the ready file. Runs `packages/cli/bin/flotilla`, so it needs
 * `pnpm run build` first (as bin/test does) and nats-server.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ExitCode } from '@flotilla/base';
import { TestNatsServer } from '@flotilla/router/testing';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const program = join(dirname(fileURLToPath(import.meta.url)), '../bin/flotilla');
const limitMs = 60_000;

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the program to its end. */
function run(args: readonly string[], environment: Record<string, string> = {}): Ended {
  const env = { PATH: process.env.PATH ?? '', ...environment };
  const ended = spawnSync(program, args, { encoding: 'utf8', env, timeout: limitMs });
  return { code: ended.status, out: ended.stdout, err: ended.stderr };
}

class Running {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  output = '';

  constructor(args: readonly string[]) {
    this.child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const take = (chunk: Buffer): void => {
      this.output += chunk.toString('utf8');
    };
    this.child.stdout?.on('data', take);
    this.child.stderr?.on('data', take);
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code, signal) => resolve({ code, signal }));
    });
  }

  /** Resolves when a log line with this event has come. */
  async event(name: string): Promise<Record<string, unknown>> {
    const deadline = performance.now() + limitMs;
    for (;;) {
      for (const line of this.output.split('\n').filter((text) => text.startsWith('{'))) {
        const facts = JSON.parse(line) as Record<string, unknown>;
        if (facts.event === name) return facts;
      }
      if (performance.now() > deadline || this.child.exitCode !== null) {
        throw new Error(`no event "${name}" in:\n${this.output}`);
      }
      await sleep(20);
    }
  }
}

let directory = '';
let running: Running[] = [];

function start(...args: readonly string[]): Running {
  return launch('start', ...args);
}

function launch(...args: readonly string[]): Running {
  const one = new Running(args);
  running.push(one);
  return one;
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'flotilla-program-'));
});

afterEach(async () => {
  for (const one of running) one.child.kill('SIGKILL');
  await Promise.all(running.map((one) => one.ended));
  running = [];
  rmSync(directory, { recursive: true, force: true });
});

describe('usage', () => {
  it('is explained on standard error, with 64', () => {
    const { code, out, err } = run(['start', '--listen', 'nowhere']);
    expect({ code, out }).toEqual({ code: ExitCode.usage, out: '' });
    expect(err).toContain('--listen is "nowhere"');
  });

  it('gives help and version with 0', () => {
    expect(run(['--help'])).toMatchObject({ code: ExitCode.ok, err: '' });
  });

  it('says what to do where psql is missing', () => {
    const node = { PATH: directory, FLOTILLA_NODE: process.execPath };
    // The wrapper itself needs its shell's friends; psql is not among them.
    for (const tool of ['dirname', 'readlink']) {
      writeFileSync(join(directory, tool), `#!/bin/sh\nexec /usr/bin/${tool} "$@"\n`);
      chmodSync(join(directory, tool), 0o755);
    }
    const { code, err } = run(['sql'], node);
    expect(code).toBe(ExitCode.usage);
    expect(err).toContain('psql is not on PATH');
  });

  it('exits with 1 where nobody answers', () => {
    const { code, err } = run(['status', '--timeout', '1', '--nats', 'nats://127.0.0.1:1']);
    expect(code).toBe(ExitCode.failure);
    expect(err).toContain('nats://127.0.0.1:1');
  });
});

describe('the wrapper', () => {
  it.each([
    ['', '16'],
    ['4', '16'],
    ['64', '64'],
    ['many', '16'],
  ])('turns UV_THREADPOOL_SIZE=%s into %s', (given, expected) => {
    const node = join(directory, 'node');
    writeFileSync(node, '#!/bin/sh\necho "$UV_THREADPOOL_SIZE"\n');
    chmodSync(node, 0o755);
    const { out } = run([], { FLOTILLA_NODE: node, UV_THREADPOOL_SIZE: given });
    expect(out.trim()).toBe(expected);
  });
});

describe('a process', () => {
  let nats: TestNatsServer;
  beforeAll(async () => {
    nats = await TestNatsServer.start();
  });
  afterAll(() => nats.stop());

  const store = (): readonly string[] => [
    ...['--roles', 'store', '--store-id', '1', '--data', join(directory, 'data')],
    ...['--nats', nats.url, '--ready-file', join(directory, 'ready.json')],
  ];

  it('says when it is ready, keeps others off its directory, and ends within the bound', async () => {
    const one = start(...store());
    expect(await one.event('ready')).toMatchObject({ storeId: 1, level: 'info' });
    const ready: unknown = JSON.parse(readFileSync(join(directory, 'ready.json'), 'utf8'));
    expect(ready).toEqual({ pid: one.child.pid, storeId: 1, ports: {} });
    const second = start(...store());
    expect(await second.ended).toEqual({ code: ExitCode.locked, signal: null });
    expect(second.output).toContain(`"exitCode":${ExitCode.locked}`);
    const askedAt = performance.now();
    one.child.kill('SIGTERM');
    expect(await one.ended).toEqual({ code: 0, signal: null });
    expect(performance.now() - askedAt).toBeLessThan(5_000);
    const stranger = start(...store(), '--store-id', '2');
    expect(await stranger.ended).toEqual({ code: ExitCode.identityMismatch, signal: null });
  });

  it('says how a new store is given its number', async () => {
    const one = start('--roles', 'store', '--data', join(directory, 'data'), '--nats', nats.url);
    expect(await one.ended).toEqual({ code: ExitCode.usage, signal: null });
    expect(one.output).toContain('--store-id');
    expect(one.output).not.toContain('"stack"');
  });

  it('keeps the bound when the network stands still', async () => {
    const one = start(...store());
    await one.event('ready');
    nats.signal('SIGSTOP');
    const askedAt = performance.now();
    one.child.kill('SIGTERM');
    const { code } = await one.ended;
    expect(performance.now() - askedAt).toBeLessThan(5_000);
    expect([ExitCode.ok, ExitCode.failure]).toContain(code);
    nats.signal('SIGCONT');
  });

  it('is not ready without a cluster, and leaves when told to', async () => {
    const gateway = start('--roles', 'gateway', '--nats', nats.url, '--listen', '127.0.0.1:0');
    await gateway.event('waiting_for_the_cluster');
    gateway.child.kill('SIGTERM');
    expect(await gateway.ended).toEqual({ code: 0, signal: null });
    expect(existsSync(join(directory, 'ready.json'))).toBe(false);
  });

  it('tells who watches that it waits for the network, and leaves at once when told to', async () => {
    const nowhere = ['--nats', 'nats://127.0.0.1:1', '--http', '127.0.0.1:0'];
    const gateway = start('--roles', 'gateway', ...nowhere);
    const { port } = await gateway.event('http_listening');
    await gateway.event('nats_unreachable_retrying');
    for (const path of ['health', 'ready']) {
      const answer = await fetch(`http://127.0.0.1:${port}/${path}`);
      expect(answer.status).toBe(503);
      expect(await answer.text()).toContain('waits for a nats-server at nats://127.0.0.1:1');
    }
    gateway.child.kill('SIGINT');
    expect(await gateway.ended).toEqual({ code: 0, signal: null });
  });
});

describe('stores and a gateway in one process, over the in-memory network', () => {
  const cluster = (port: number): Running =>
    launch(
      ...['in-process-cluster', '--stores', '3', '--data', join(directory, 'data')],
      ...['--listen', `127.0.0.1:${port}`],
    );

  it('serve SQL, stop within the bound, and find their data again', async () => {
    const first = cluster(0);
    await query(await gatewayPort(first), 'CREATE TABLE t (id int PRIMARY KEY)');
    await query(await gatewayPort(first), 'INSERT INTO t VALUES (7)');
    const askedAt = performance.now();
    first.child.kill('SIGTERM');
    expect(await first.ended).toEqual({ code: 0, signal: null });
    expect(performance.now() - askedAt).toBeLessThan(5_000);
    const second = cluster(0);
    expect(await query(await gatewayPort(second), 'SELECT id FROM t')).toEqual([{ id: 7 }]);
    second.child.kill('SIGKILL'); // and once more, uncleanly
    await second.ended;
    const third = cluster(0);
    expect(await query(await gatewayPort(third), 'SELECT id FROM t')).toEqual([{ id: 7 }]);
    const fourth = cluster(await gatewayPort(third));
    expect((await fourth.ended).code).toBe(ExitCode.locked);
  });

  it('end with 64 where the port is taken', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen({ host: '127.0.0.1', port: 0 }, resolve));
    const { port } = taken.address() as AddressInfo;
    const one = cluster(port);
    expect((await one.ended).code).toBe(ExitCode.usage);
    expect(one.output).toContain(`--listen is \\"127.0.0.1:${port}\\"`);
    expect(one.output).not.toContain('"stack"');
    await new Promise((resolve) => taken.close(resolve));
  });
});

async function gatewayPort(running: Running): Promise<number> {
  const { gateway } = await running.event('ready');
  return (gateway as { port: number }).port;
}

async function query(port: number, text: string): Promise<unknown[]> {
  const client = new pg.Client(`postgres://flotilla@127.0.0.1:${port}/flotilla`);
  await client.connect();
  try {
    return (await client.query(text)).rows as unknown[];
  } finally {
    await client.end();
  }
}
