#!/usr/bin/env node
/** The end-to-end tests for as long as one likes: the same files as in CI, with more faults per test. */
import { spawn } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const help = `Usage: node e2e/campaign.mjs [options]

Runs the end-to-end tests with more faults than CI does, again and again until the time is over or a test fails.
Build first (pnpm run build, or ./bin/demo once). Needs nats-server and psql.

  --minutes N       begin no new pass after this long (default 10)
  --kills N         kills of every store per pass (default 5)
  --power-cuts N    kills of all processes at once per pass (default 5)
  --pauses N        stops and continues of a leader per pass (default 5)
  --outages N       outages of nats-server per pass (default 3)
  --transfers N     leadership transfers under load per pass (default 100)
  --failovers N     kills of the busiest store under probes per pass (default 30)
  --only NAME       only test files whose name contains NAME, e.g. store-kills
  --keep-data       leave data directories and logs behind
  --help            this text

Example: node e2e/campaign.mjs --minutes 30 --only power-cut
`;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    kills: { type: 'string', default: '5' },
    'power-cuts': { type: 'string', default: '5' },
    pauses: { type: 'string', default: '5' },
    outages: { type: 'string', default: '3' },
    transfers: { type: 'string', default: '100' },
    failovers: { type: 'string', default: '30' },
    only: { type: 'string' },
    'keep-data': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const environment = {
  ...process.env,
  E2E_KILL_ROUNDS: values.kills,
  E2E_POWER_CUTS: values['power-cuts'],
  E2E_PAUSES: values.pauses,
  E2E_NATS_OUTAGES: values.outages,
  E2E_TRANSFERS: values.transfers,
  E2E_FAILOVERS: values.failovers,
  ...(values['keep-data'] ? { E2E_KEEP_DATA: '1' } : {}),
};

function pass() {
  const args = ['vitest', 'run', '--project', 'e2e', ...(values.only ? [values.only] : [])];
  const child = spawn('npx', args, { cwd: root, env: environment, stdio: 'inherit' });
  return new Promise((resolve) => child.on('exit', (code) => resolve(code ?? 1)));
}

const until = performance.now() + Number(values.minutes) * 60_000;
let passes = 0;
let code = 0;
do {
  code = await pass();
  passes++;
  process.stdout.write(`[campaign] pass ${passes}: ${code === 0 ? 'ok' : 'FAILED'}\n`);
} while (code === 0 && performance.now() < until);
process.exit(code);
