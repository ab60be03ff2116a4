/**
 * Brings a demo up: makes or remembers its state, starts every process that does not run, founds the cluster once, and
 * returns when the gateway serves. What already runs is left alone, so a half-dead demo is healed by starting it again.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { UsageError } from '../usage-error.ts';
import {
  clusterName,
  type DemoPlaces,
  flotillaProgram,
  natsUrl,
  type ProcessPlan,
  planProcesses,
} from './demo-plan.ts';
import { type DemoState, loadState, saveState, withProcess } from './demo-state.ts';
import { LaunchError, launch, waitUntilReady } from './launch.ts';
import { freePort, portIsFree } from './ports.ts';
import { isAlive } from './process-identity.ts';

const defaultGatewayPort = 26_432;
const readyTimeoutMs = 60_000;

export interface StartOptions {
  readonly places: DemoPlaces;
  readonly stores: number | undefined;
  readonly port: number | undefined;
  readonly transport: 'nats' | 'memory' | undefined;
  readonly together: boolean;
  /** Path of the nats-server found by bin/demo; undefined = there is none. */
  readonly natsServer: string | undefined;
  readonly say: (line: string) => void;
}

export interface StartedDemo {
  readonly state: DemoState;
  /** Nothing had to be started. */
  readonly wasRunning: boolean;
}

/** @throws UsageError, LaunchError */
export async function startDemo(options: StartOptions): Promise<StartedDemo> {
  const { places } = options;
  let state = await prepareState(options);
  saveState(places.data, state);
  const plans = planProcesses(places, state);
  const missing = plans.filter((plan) => !runs(state, plan));
  if (missing.length === 0) return { state, wasRunning: true };

  const launchAll = async (group: readonly ProcessPlan[]): Promise<void> => {
    for (const plan of group) {
      state = withProcess(state, await launch(plan));
      saveState(places.data, state); // at once: a demo that fails half-way can still be stopped
    }
  };
  const areReady = async (group: readonly ProcessPlan[]): Promise<void> => {
    await Promise.all(group.map((plan) => ready(state, plan)));
  };
  const start = async (group: readonly ProcessPlan[], what: string): Promise<void> => {
    if (group.length === 0) return;
    await timed(options, what, async () => {
      await launchAll(group);
      await areReady(group);
    });
  };
  const of = (role: ProcessPlan['role']): ProcessPlan[] =>
    missing.filter((plan) => plan.role === role);
  const found = async (): Promise<void> => {
    if (state.transport !== 'nats' || state.founded) return;
    await timed(options, `cluster of ${state.stores} stores founded`, () => init(places, state));
    state = { ...state, founded: true };
    saveState(places.data, state);
  };
  await start(of('nats'), `nats-server on port ${state.natsPort}`);
  const stores = of('store');
  const names = stores.map((plan) => plan.name).join(', ');
  if (state.storeGatewayPorts === undefined) await start(stores, names);
  else await launchAll(stores); // with gateways in them they serve when the cluster is founded
  await found();
  if (state.storeGatewayPorts !== undefined && stores.length > 0)
    await timed(options, `${names} with gateways`, () => areReady(stores));
  await start(of('gateway'), `gateway on port ${state.gatewayPort}`);
  return { state, wasRunning: false };
}

/** Starts one process again. @returns its new pid. @throws UsageError if it still runs or is not part of the demo */
export async function restartProcess(places: DemoPlaces, name: string): Promise<number> {
  const state = loadState(places.data);
  if (state === undefined) throw new UsageError(`there is no demo in ${places.data}`);
  const plans = planProcesses(places, state);
  const plan = plans.find((candidate) => candidate.name === name);
  if (plan === undefined) {
    const names = plans.map((candidate) => candidate.name).join(', ');
    throw new UsageError(`the demo has no process "${name}"; it has ${names}`);
  }
  const deadline = performance.now() + 5_000; // a process that was just killed may take a moment to go
  while (runs(state, plan)) {
    if (performance.now() > deadline) {
      const pid = state.processes.find((entry) => entry.name === name)?.pid;
      throw new UsageError(`${name} still runs as process ${pid}; stop or kill it first`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const managed = await launch(plan);
  saveState(places.data, withProcess(state, managed));
  return managed.pid;
}

function runs(state: DemoState, plan: ProcessPlan): boolean {
  const managed = state.processes.find((entry) => entry.name === plan.name);
  return managed !== undefined && isAlive(managed);
}

async function ready(state: DemoState, plan: ProcessPlan): Promise<void> {
  const managed = state.processes.find((entry) => entry.name === plan.name);
  if (managed === undefined) throw new LaunchError(`${plan.name} was not started`);
  await waitUntilReady(plan, managed, { natsPort: state.natsPort, timeoutMs: readyTimeoutMs });
}

async function prepareState(options: StartOptions): Promise<DemoState> {
  const known = loadState(options.places.data);
  if (known === undefined) return newState(options);
  refuseChanges(known, options);
  const natsServer = known.natsServer ?? options.natsServer;
  let state: DemoState = natsServer === undefined ? known : { ...known, natsServer };
  const alive = state.processes.filter((entry) => isAlive(entry));
  if (!alive.some(({ role, name }) => role === 'gateway' || servesFirst(state, name))) {
    const wanted = options.port ?? state.gatewayPort;
    state = { ...state, gatewayPort: await choosePort(wanted, options.port, options) };
  } else if (options.port !== undefined && options.port !== state.gatewayPort) {
    throw new UsageError(
      `the gateway already serves on port ${state.gatewayPort}; ./bin/demo --stop first`,
    );
  }
  if (state.storeGatewayPorts !== undefined) {
    const ports = [state.gatewayPort];
    for (const [i, port] of state.storeGatewayPorts.slice(1).entries()) {
      const isUp = alive.some(({ name }) => name === `store-${i + 2}`);
      ports.push(isUp || (await portIsFree(port)) ? port : await freePort());
    }
    state = { ...state, storeGatewayPorts: ports };
  }
  if (state.natsPort !== undefined && !alive.some((entry) => entry.role === 'nats')) {
    if (!(await portIsFree(state.natsPort))) {
      if (alive.length > 0) {
        throw new UsageError(
          `port ${state.natsPort} of the demo's nats-server is taken by another program`,
        );
      }
      state = { ...state, natsPort: await freePort() };
    }
  }
  return state;
}

/** The process has the gateway on the port that the user chose. */
function servesFirst(state: DemoState, name: string): boolean {
  return state.storeGatewayPorts !== undefined && name === 'store-1';
}

async function newState(options: StartOptions): Promise<DemoState> {
  const transport = options.transport ?? (options.natsServer === undefined ? 'memory' : 'nats');
  if (transport === 'nats' && options.natsServer === undefined) {
    throw new UsageError(
      'there is no nats-server on this machine; install one, or use --transport memory',
    );
  }
  if (transport === 'memory' && options.transport === undefined) {
    options.say('  no nats-server: all stores run in one process, over an in-memory network');
  }
  const base = {
    version: 1 as const,
    stores: options.stores ?? 3,
    transport,
    gatewayPort: await choosePort(options.port ?? defaultGatewayPort, options.port, options),
    founded: false,
    processes: [],
  };
  if (transport === 'memory') {
    if (!options.together) return base;
    throw new UsageError('--together needs processes of their own, so a nats-server');
  }
  const nats = { natsPort: await freePort(), natsServer: options.natsServer };
  if (!options.together) return { ...base, ...nats };
  const storeGatewayPorts = [base.gatewayPort];
  while (storeGatewayPorts.length < base.stores) storeGatewayPorts.push(await freePort());
  return { ...base, ...nats, storeGatewayPorts };
}

function refuseChanges(known: DemoState, options: StartOptions): void {
  if (options.together && known.storeGatewayPorts === undefined) {
    throw new UsageError(
      `the demo in ${options.places.data} has a gateway of its own; use another --data directory for --together`,
    );
  }
  if (options.stores !== undefined && options.stores !== known.stores) {
    throw new UsageError(
      `the demo in ${options.places.data} was founded with ${known.stores} stores; ` +
        `use another --data directory for ${options.stores}`,
    );
  }
  if (options.transport !== undefined && options.transport !== known.transport) {
    throw new UsageError(
      `the demo in ${options.places.data} uses the ${known.transport} transport; ` +
        'use another --data directory for the other one',
    );
  }
}

async function choosePort(
  wanted: number,
  demanded: number | undefined,
  options: StartOptions,
): Promise<number> {
  if (wanted === 0) return freePort();
  if (await portIsFree(wanted)) return wanted;
  if (demanded !== undefined) {
    throw new UsageError(`port ${demanded} is taken by another program; choose another --port`);
  }
  const port = await freePort();
  options.say(`  port ${wanted} is taken: the gateway gets ${port}`);
  return port;
}

async function init(places: DemoPlaces, state: DemoState): Promise<void> {
  const args = [
    'init',
    ...['--nats', natsUrl(state), '--cluster', clusterName],
    ...['--stores', String(state.stores), '--timeout', '30'],
  ];
  try {
    await promisify(execFile)(flotillaProgram(places), args);
  } catch (error) {
    const detail = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
    throw new LaunchError(`founding the cluster failed: ${detail.trim() || String(error)}`);
  }
}

async function timed(
  options: StartOptions,
  what: string,
  work: () => Promise<void>,
): Promise<void> {
  const startedAt = performance.now();
  await work();
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  options.say(`  ${what.padEnd(44)} ${seconds} s`);
}
