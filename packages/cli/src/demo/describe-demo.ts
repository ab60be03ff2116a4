/** What the demo tells its user: the JSON line for programs, the text for people. Pure. */
import { join } from 'node:path';
import {
  clusterName,
  type DemoPlaces,
  gatewayUrls,
  natsUrl,
  planProcesses,
  restartCommand,
} from './demo-plan.ts';
import type { DemoState } from './demo-state.ts';

export interface DemoDescription {
  readonly gateways: readonly string[];
  readonly nats: readonly string[];
  readonly processes: readonly {
    readonly name: string;
    readonly role: 'store' | 'gateway' | 'nats';
    readonly pid: number;
    /** A shell command that starts the process again in the background and prints its pid. */
    readonly restart: string;
  }[];
}

export function describeForPrograms(places: DemoPlaces, state: DemoState): DemoDescription {
  return {
    gateways: gatewayUrls(state),
    nats: state.transport === 'nats' ? [natsUrl(state)] : [],
    processes: planProcesses(places, state).flatMap(({ name }) =>
      state.processes
        .filter((entry) => entry.name === name)
        .map(({ role, pid }) => ({ name, role, pid, restart: restartCommand(places, name) })),
    ),
  };
}

export function describeForPeople(places: DemoPlaces, state: DemoState): string {
  const [url = '', ...others] = gatewayUrls(state);
  const lines = [
    '',
    `Flotilla is up: ${state.stores} stores, gateway${others.length > 0 ? 's' : ''} on port ${(state.storeGatewayPorts ?? [state.gatewayPort]).join(', ')}.`,
    '',
    '  psql:',
    `    psql '${url}'`,
    '',
    '  Node.js, with pg:',
    `    const client = new pg.Client('${url}');`,
    '    await client.connect();',
    "    console.log((await client.query('SELECT 1 AS one')).rows);",
  ];
  if (state.transport === 'nats') {
    lines.push(
      '',
      '  Node.js, with the SDK (no gateway in between):',
      "    import { connect } from '@flotilla/client';",
      `    const db = await connect({ servers: '${natsUrl(state)}', cluster: '${clusterName}' });`,
      '    console.log((await db.sql`SELECT 1 AS one`).rows);',
      '',
      '  State of the cluster:',
      `    ${join(places.root, 'bin/flotilla')} status --nats ${natsUrl(state)} --cluster ${clusterName}`,
    );
  }
  lines.push('', `  Data: ${places.data}`, `  Logs: ${join(places.data, 'logs')}`, '');
  return `${lines.join('\n')}\n`;
}
