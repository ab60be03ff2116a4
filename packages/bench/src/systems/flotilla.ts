/** Flotilla as the demo starts it: nats-server, three stores and a gateway, each its own process. */
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { StartOptions, System } from './system.ts';

const run = promisify(execFile);
const demo = join(dirname(fileURLToPath(import.meta.url)), '../../../../bin/demo');

interface Description {
  readonly gateways: readonly string[];
  readonly nats: readonly string[];
  readonly processes: readonly { readonly name: string; readonly pid: number }[];
  readonly cluster?: string;
}

export async function startFlotilla({ directory }: StartOptions): Promise<System> {
  const data = join(directory, 'demo');
  const args = ['--background', '--json', '--data', data, '--port', '0'];
  const { stdout } = await run(demo, args, { timeout: 120_000 });
  const description = JSON.parse(stdout) as Description;
  const [gateway] = description.gateways;
  return {
    name: 'flotilla',
    endpoints: {
      flotilla: { servers: description.nats, cluster: description.cluster ?? 'demo' },
      ...(gateway === undefined ? {} : { postgres: gateway }),
    },
    processes: description.processes,
    async stop() {
      await run(demo, ['--stop', '--data', data], { timeout: 60_000 });
    },
  };
}
