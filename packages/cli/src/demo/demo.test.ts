import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { UsageError } from '../usage-error.ts';
import { withDemoLock } from './demo-lock.ts';
import { parseDemoOptions } from './demo-options.ts';
import { type DemoPlaces, planProcesses, quote, restartCommand } from './demo-plan.ts';
import {
  type DemoState,
  loadState,
  type ManagedProcess,
  saveState,
  stateFile,
  withProcess,
} from './demo-state.ts';
import { describeForPeople, describeForPrograms } from './describe-demo.ts';
import { freePort, portAnswers, portIsFree } from './ports.ts';
import {
  isAlive,
  type ProcessIdentity,
  signal,
  startTimeOf,
  waitForEnd,
} from './process-identity.ts';
import { stopDemo } from './stop-demo.ts';

let data = '';
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'flotilla-demo-test-'));
});
afterEach(() => rmSync(data, { recursive: true, force: true }));

const state: DemoState = {
  ...{ version: 1, stores: 3, transport: 'nats', gatewayPort: 26_432, natsPort: 4333 },
  ...{ natsServer: '/usr/sbin/nats-server', founded: true, processes: [] },
};

async function sleeper(): Promise<ProcessIdentity> {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  await new Promise((resolve) => child.once('spawn', resolve));
  const pid = child.pid ?? 0;
  return { pid, startTime: startTimeOf(pid) ?? '' };
}

describe('process identity', () => {
  it('knows this process, and not one that has ended', () => {
    expect(startTimeOf(process.pid)).toBeDefined();
    const ended = spawnSync('true');
    expect(startTimeOf(ended.pid)).toBeUndefined();
  });

  it('never signals a process with another start time', async () => {
    const ours = await sleeper();
    const stranger = { ...ours, startTime: 'another' };
    expect(isAlive(stranger)).toBe(false);
    expect(signal(stranger, 'SIGKILL')).toBe(false);
    expect(isAlive(ours)).toBe(true);
    expect(signal(ours, 'SIGTERM')).toBe(true);
    expect(await waitForEnd(ours, 5_000)).toBe(true);
  });

  it('gives up waiting for a process that does not end', async () => {
    const ours = await sleeper();
    expect(await waitForEnd(ours, 60)).toBe(false);
    signal(ours, 'SIGKILL');
    expect(await waitForEnd(ours, 5_000)).toBe(true);
  });
});

describe('demo state', () => {
  it('comes back as it was saved, and is absent at first', () => {
    expect(loadState(data)).toBeUndefined();
    const entry = { name: 'store-1', role: 'store', pid: 7, startTime: 'x' } as const;
    const saved = withProcess(state, entry);
    saveState(data, saved);
    expect(loadState(data)).toEqual(saved);
    expect(withProcess(saved, { ...entry, pid: 8 }).processes).toEqual([{ ...entry, pid: 8 }]);
  });

  it.each(['', '{', '{"version":2}', '{"version":1,"processes":[{"pid":-1}]}'])(
    'refuses a file that is not its own: %s',
    (text) => {
      writeFileSync(stateFile(data), text);
      expect(() => loadState(data)).toThrow(UsageError);
    },
  );

  it('is changed by one command at a time, and a dead holder does not count', async () => {
    writeFileSync(join(data, 'demo.lock'), '{"pid":1,"startTime":"never"}');
    await withDemoLock(data, 1_000, async () => {
      await expect(withDemoLock(data, 20, () => Promise.resolve())).rejects.toThrow(UsageError);
    });
    await expect(withDemoLock(data, 20, () => Promise.resolve(5))).resolves.toBe(5);
  });
});

describe('demo plan', () => {
  const places: DemoPlaces = { root: '/co', data: "/d/it's here" };

  it('has nats-server, stores and a gateway, each with its own files', () => {
    const plans = planProcesses(places, state);
    expect(plans.map((plan) => plan.name)).toEqual([
      ...['nats', 'store-1', 'store-2', 'store-3', 'gateway-1'],
    ]);
    expect(new Set(plans.map((plan) => plan.logFile)).size).toBe(5);
    const store = plans.find((plan) => plan.name === 'store-2');
    expect(store?.args).toContain('nats://127.0.0.1:4333');
    expect(store?.args.join(' ')).toContain('--store-id 2');
    expect(store?.args.join(' ')).toContain('--machine machine-2');
  });

  it('has no gateway of its own where every store is one', () => {
    const together = { ...state, storeGatewayPorts: [26_432, 5001, 5002] };
    const plans = planProcesses(places, together);
    expect(plans.map((plan) => plan.name)).toEqual(['nats', 'store-1', 'store-2', 'store-3']);
    expect(plans[2]?.args.join(' ')).toContain('--roles store,gateway --listen 127.0.0.1:5001');
    expect(describeForPrograms(places, together).gateways.map((url) => new URL(url).port)).toEqual([
      ...['26432', '5001', '5002'],
    ]);
    expect(() => parseDemoOptions(['--together', '--transport', 'memory'], '/')).toThrow(
      '--together',
    );
  });

  it('is one process over the in-memory transport', () => {
    const plans = planProcesses(places, { ...state, transport: 'memory' });
    expect(plans.map((plan) => plan.name)).toEqual(['cluster']);
  });

  it('quotes what a shell would tear apart', () => {
    expect(quote("it's")).toBe("'it'\\''s'");
    const shell = spawnSync('sh', ['-c', `printf '%s\\n' ${restartCommand(places, 'store-1')}`]);
    expect(shell.stdout.toString().split('\n')).toEqual([
      ...['/co/bin/demo', '--data', "/d/it's here", '--restart', 'store-1', ''],
    ]);
  });

  it('describes itself to programs with exactly the agreed fields', () => {
    const processes = planProcesses(places, state).map(({ name, role }, i) => ({
      ...{ name, role, pid: 100 + i, startTime: 'x' },
    }));
    const line = describeForPrograms(places, { ...state, processes });
    expect(Object.keys(line)).toEqual(['gateways', 'nats', 'processes']);
    expect(line.gateways[0]).toMatch(/^postgres:\/\/[^@]+@127\.0\.0\.1:26432\//);
    expect(line.nats).toEqual(['nats://127.0.0.1:4333']);
    expect(line.processes).toHaveLength(5);
    expect(Object.keys(line.processes[0] ?? {})).toEqual(['name', 'role', 'pid', 'restart']);
    expect(describeForPeople(places, state)).toContain("psql 'postgres://");
  });
});

describe('demo options', () => {
  it('have defaults, and a data directory that does not depend on where one stands', () => {
    expect(parseDemoOptions([], '/co')).toEqual({
      ...{ action: 'foreground', data: '/co/.flotilla/demo', json: false, together: false },
      ...{ stores: undefined, port: undefined, transport: undefined },
    });
  });

  it.each([
    [['--stores', '0']],
    [['--stores', '10']],
    [['--port', 'x']],
    [['--port', '70000']],
    [['--transport', 'tcp']],
    [['--background', '--stop']],
    [['--nope']],
    [['stop']],
  ])('refuse %j', (args) => {
    expect(() => parseDemoOptions(args, '/co')).toThrow(UsageError);
  });
});

describe('stopDemo', () => {
  it('ends what is ours, in time or by force, and leaves strangers alone', async () => {
    const willing = await sleeper();
    const stranger = await sleeper();
    const stubborn = spawn(
      process.execPath,
      ['-e', "process.on('SIGTERM',()=>{});process.stdout.write('up');setInterval(()=>{},1e6)"],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    await new Promise((resolve) => stubborn.stdout.once('data', resolve));
    const stubbornPid = stubborn.pid ?? 0;
    const processes: ManagedProcess[] = [
      { name: 'store-1', role: 'store', ...willing },
      { name: 'store-2', role: 'store', pid: stranger.pid, startTime: 'another' },
      {
        name: 'gateway-1',
        role: 'gateway',
        pid: stubbornPid,
        startTime: startTimeOf(stubbornPid) ?? '',
      },
    ];
    const result = await stopDemo(data, { ...state, processes }, { graceMs: 200 });
    expect(result).toEqual({ stopped: ['store-1'], killed: ['gateway-1'] });
    expect(isAlive(stranger)).toBe(true);
    expect(loadState(data)?.processes).toEqual([]);
    signal(stranger, 'SIGKILL');
  });

  it('wakes a process that was paused, so that it can end', async () => {
    const paused = await sleeper();
    signal(paused, 'SIGSTOP');
    const processes = [{ name: 'store-1', role: 'store', ...paused }] as const;
    const result = await stopDemo(data, { ...state, processes }, { graceMs: 5_000 });
    expect(result.stopped).toEqual(['store-1']);
  });
});

describe('ports', () => {
  it('tell free from taken', async () => {
    const port = await freePort();
    expect(await portIsFree(port)).toBe(true);
    expect(await portAnswers(port)).toBe(false);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port }, resolve));
    expect(await portIsFree(port)).toBe(false);
    expect(await portAnswers(port)).toBe(true);
    await new Promise((resolve) => server.close(resolve));
  });
});
