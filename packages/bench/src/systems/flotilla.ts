/** Flotilla as the demo starts it: nats-server and three stores that are gateways too, each its own process. */
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { runsAsProcess } from '../measure/process-tree.ts';
import type { StartOptions, System } from './system.ts';

const run = promisify(execFile);
const root = join(dirname(fileURLToPath(import.meta.url)), '../../../..');
const demo = join(root, 'bin/demo');
/** The same without its look at whether everything is installed and built, which is no part of a restart. */
const program = join(root, 'packages/cli/dist/demo/main.js');

interface Description {
  readonly gateways: readonly string[];
  readonly nats: readonly string[];
  readonly processes: readonly {
    readonly name: string;
    readonly role: string;
    readonly pid: number;
  }[];
  readonly cluster?: string;
}

export async function startFlotilla({ directory }: StartOptions): Promise<System> {
  const data = join(directory, 'demo');
  const start = ['--background', '--json', '--data', data, '--together'];
  const { stdout } = await run(demo, [...start, '--port', '0'], { timeout: 300_000 });
  let description = JSON.parse(stdout) as Description;
  return {
    name: 'flotilla',
    get endpoints() {
      const { nats, cluster = 'demo', gateways } = description;
      const [gateway] = gateways;
      return {
        flotilla: { servers: nats, cluster },
        ...(gateway === undefined ? {} : { postgres: gateway }),
      };
    },
    get processes() {
      return description.processes;
    },
    members: description.processes.flatMap(({ name, role }) => (role === 'store' ? [name] : [])),
    async kill(name) {
      const chosen = description.processes.filter(
        (each) => (name === undefined || each.name === name) && runsAsProcess(each.pid),
      );
      for (const { pid } of chosen) process.kill(pid, 'SIGKILL');
      while (chosen.some(({ pid }) => runsAsProcess(pid))) await sleep(10);
    },
    async revive() {
      const answer = await run(process.execPath, [program, ...start], { timeout: 120_000 });
      description = JSON.parse(answer.stdout) as Description;
    },
    async stop() {
      await run(demo, ['--stop', '--data', data], { timeout: 60_000 });
    },
  };
}
