/** Which processes a demo consists of and how each is started. Pure: paths and ports in, commands out. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DemoState } from './demo-state.ts';

export const clusterName = 'demo';

export interface ProcessPlan {
  readonly name: string;
  readonly role: 'store' | 'gateway' | 'nats';
  readonly command: string;
  readonly args: readonly string[];
  readonly logFile: string;
  /** Written by the process when it serves; undefined: its port answers. */
  readonly readyFile: string | undefined;
}

export interface DemoPlaces {
  /** The checkout. */
  readonly root: string;
  /** The demo's directory, absolute. */
  readonly data: string;
}

/** In the order in which they start; they stop in the reverse. */
export function planProcesses(places: DemoPlaces, state: DemoState): readonly ProcessPlan[] {
  if (state.transport === 'memory') return [inProcess(places, state)];
  const stores = Array.from({ length: state.stores }, (_, i) => store(places, state, i + 1));
  if (state.storeGatewayPorts !== undefined) return [nats(places, state), ...stores];
  return [nats(places, state), ...stores, gateway(places, state)];
}

export function natsUrl(state: DemoState): string {
  return `nats://127.0.0.1:${state.natsPort ?? 4222}`;
}

/** At least one. */
export function gatewayUrls(state: DemoState): string[] {
  const ports = state.storeGatewayPorts ?? [state.gatewayPort];
  return ports.map((port) => `postgres://flotilla@127.0.0.1:${port}/flotilla`);
}

export function flotillaProgram(places: DemoPlaces): string {
  return join(places.root, 'packages/cli/bin/flotilla');
}

/** A shell command that starts one process again, in the background, and prints its pid. */
export function restartCommand(places: DemoPlaces, name: string): string {
  return `${quote(join(places.root, 'bin/demo'))} --data ${quote(places.data)} --restart ${name}`;
}

export function quote(text: string): string {
  return /^[A-Za-z0-9_./:@=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function nats(places: DemoPlaces, state: DemoState): ProcessPlan {
  const config = join(places.root, 'deploy/nats/flotilla.conf');
  return {
    name: 'nats',
    role: 'nats',
    command: state.natsServer ?? 'nats-server',
    args: [
      ...(existsSync(config) ? ['-c', config] : []),
      ...['-a', '127.0.0.1', '-p', String(state.natsPort)],
    ],
    logFile: join(places.data, 'logs/nats.log'),
    readyFile: undefined,
  };
}

function store(places: DemoPlaces, state: DemoState, id: number): ProcessPlan {
  const name = `store-${id}`;
  const readyFile = join(places.data, 'run', `${name}.json`);
  const port = state.storeGatewayPorts?.[id - 1];
  const roles =
    port === undefined
      ? ['--roles', 'store']
      : ['--roles', 'store,gateway', '--listen', `127.0.0.1:${port}`];
  return {
    name,
    role: 'store',
    command: flotillaProgram(places),
    args: [
      'start',
      ...roles,
      ...['--store-id', String(id), '--data', join(places.data, name)],
      ...['--nats', natsUrl(state), '--cluster', clusterName, '--machine', `machine-${id}`],
      ...['--ready-file', readyFile],
    ],
    logFile: join(places.data, 'logs', `${name}.log`),
    readyFile,
  };
}

function gateway(places: DemoPlaces, state: DemoState): ProcessPlan {
  const name = 'gateway-1';
  const readyFile = join(places.data, 'run', `${name}.json`);
  return {
    name,
    role: 'gateway',
    command: flotillaProgram(places),
    args: [
      'start',
      ...['--roles', 'gateway', '--nats', natsUrl(state), '--cluster', clusterName],
      ...['--listen', `127.0.0.1:${state.gatewayPort}`, '--ready-file', readyFile],
    ],
    logFile: join(places.data, 'logs', `${name}.log`),
    readyFile,
  };
}

function inProcess(places: DemoPlaces, state: DemoState): ProcessPlan {
  const name = 'cluster';
  const readyFile = join(places.data, 'run', `${name}.json`);
  return {
    name,
    role: 'gateway',
    command: flotillaProgram(places),
    args: [
      'in-process-cluster',
      ...['--stores', String(state.stores), '--data', places.data],
      ...['--listen', `127.0.0.1:${state.gatewayPort}`, '--ready-file', readyFile],
    ],
    logFile: join(places.data, 'logs', `${name}.log`),
    readyFile,
  };
}
