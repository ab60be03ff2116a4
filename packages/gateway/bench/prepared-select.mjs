/**
 * CPU of a gateway per point select, the store's answer canned: pgbench is the load, and three servers are measured in turn
 * (`select-servers.mjs`): a bare socket, the wire protocol alone, and all of the gateway with the SQL engine.
 */
import { execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { servers } from './select-servers.mjs';

const help = `Usage: pnpm bench:select [options]

CPU (user + system) of a gateway's process per point select, in µs, beside that of a bare socket that answers the same
bytes. Needs pgbench. The rounds alternate; a figure is the median.

  --seconds S     of each measurement (default 3)
  --rounds N      default 3
  --clients N     default 16
  --modes LIST    of prepared, extended, simple (default prepared)
  --servers LIST  of ${Object.keys(servers).join(', ')} (default all)
  --profile DIR   a V8 CPU profile of every server goes there
  --help          this text
`;

const self = fileURLToPath(import.meta.url);
const script = fileURLToPath(new URL('./select.sql', import.meta.url));
const run = promisify(execFile);

if (process.env.FLOTILLA_BENCH_SERVER === undefined) await main();
else await serve(process.env.FLOTILLA_BENCH_SERVER);

async function serve(name) {
  const port = await servers[name]();
  process.on('message', () => process.send({ cpu: process.cpuUsage() }));
  process.on('disconnect', () => process.exit(0));
  process.send({ port });
}

async function main() {
  const text = (byDefault) => ({ type: 'string', default: byDefault });
  const { values } = parseArgs({
    options: {
      seconds: text('3'),
      rounds: text('3'),
      clients: text('16'),
      modes: text('prepared'),
      servers: text(Object.keys(servers).join(',')),
      profile: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) {
    process.stdout.write(help);
    return;
  }
  const names = values.servers.split(',');
  const modes = values.modes.split(',');
  const running = new Map();
  for (const name of names) running.set(name, await start(name, values.profile));
  const costs = new Map();
  for (let round = 0; round < Number(values.rounds); round++)
    for (const mode of modes)
      for (const name of round % 2 === 0 ? names : names.toReversed()) {
        process.stderr.write(`round ${round + 1}: ${name}, ${mode}\n`);
        const cost = await measure(running.get(name), { ...values, mode, warmUp: round === 0 });
        const key = `${name} ${mode}`;
        costs.set(key, [...(costs.get(key) ?? []), cost]);
      }
  for (const { child } of running.values()) child.disconnect();
  for (const mode of modes)
    for (const name of names) {
      const cost = median(costs.get(`${name} ${mode}`));
      const floor = costs.has(`floor ${mode}`) ? median(costs.get(`floor ${mode}`)) : undefined;
      const above =
        floor === undefined || name === 'floor'
          ? ''
          : `, ${(cost - floor).toFixed(1)} above the floor`;
      process.stdout.write(`${mode} ${name}: ${cost.toFixed(1)} µs CPU per select${above}\n`);
    }
}

async function start(name, profile) {
  const child = fork(self, {
    env: { ...process.env, FLOTILLA_BENCH_SERVER: name },
    execArgv: profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`],
  });
  const [{ port }] = await once(child, 'message');
  return { child, port };
}

/** @returns µs of CPU per transaction */
async function measure({ child, port }, { mode, seconds, clients, warmUp }) {
  const used = async () => {
    const reply = once(child, 'message');
    child.send('cpu');
    const [{ cpu }] = await reply;
    return cpu.user + cpu.system;
  };
  const load = async (duration) => {
    const { stdout } = await run('pgbench', [
      ...['-n', '-h', '127.0.0.1', '-p', String(port), '-U', 'bench'],
      ...['-M', mode, '-f', script, '-c', clients, '-j', '1', '-T', duration, 'flotilla'],
    ]);
    return Number(/number of transactions actually processed: (\d+)/.exec(stdout)?.[1]);
  };
  if (warmUp) await load('3');
  const before = await used();
  const transactions = await load(seconds);
  return ((await used()) - before) / transactions;
}

function median(values) {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}
