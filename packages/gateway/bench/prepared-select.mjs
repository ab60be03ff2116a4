/**
 * CPU of the gateway per select, without an SQL engine: a canned session answers, pgbench is the load.
 * Run after `pnpm run build`: `node packages/gateway/bench/prepared-select.mjs [seconds] [clients] [modes]`.
 * Prints, per protocol mode, transactions per second and the server process's CPU (user + system) per transaction.
 */
import { execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const self = fileURLToPath(import.meta.url);
const script = fileURLToPath(new URL('./select.sql', import.meta.url));

if (process.env.FLOTILLA_BENCH_SERVER === '1') {
  await serve();
} else {
  await measure();
}

async function serve() {
  const { SystemClock } = await import('@flotilla/base');
  const { SessionStatements } = await import('@flotilla/sql');
  const { startGateway } = await import('../dist/index.js');
  const int4 = 23;
  const columns = [
    {
      name: 'abalance',
      typeOid: int4,
      typeLength: 4,
      typeModifier: -1,
      tableOid: 16384,
      attributeNumber: 3,
    },
  ];
  const unparameterized = { parameterTypes: [], columns, readOnly: true, endsFailure: false };
  const prepared = { ...unparameterized, parameterTypes: [int4] };
  async function* rows(value) {
    yield [[value]];
  }
  const nothing = () => undefined;
  const newSession = () => ({
    parse: (text) => [{ text, node: undefined }],
    prepare: async ({ text }) => (text.includes('$1') ? prepared : unparameterized),
    execute: async (_prepared, parameters) => ({
      columns,
      rows: rows(parameters[0] ?? 7),
      commandTag: () => 'SELECT 1',
    }),
    encode: (_type, _format, value) => Buffer.from(String(value)),
    decode: (_type, _format, bytes) => Number(bytes.latin1Slice(0, bytes.length)),
    setting: nothing,
    usePortals: nothing,
    findCursor: nothing,
    statements: new SessionStatements(),
    transactionStatus: 'idle',
    transactionScope: undefined,
    idleTimeoutMs: 0,
    beginImplicit: nothing,
    endImplicit: async () => undefined,
    failTransaction: nothing,
    close: nothing,
  });
  const gateway = await startGateway({
    host: '127.0.0.1',
    port: 0,
    clock: new SystemClock(),
    createSession: newSession,
  });
  process.on('message', () => process.send({ cpu: process.cpuUsage() }));
  process.on('disconnect', () => process.exit(0));
  process.send({ port: gateway.port });
}

async function measure() {
  const seconds = process.argv[2] ?? '5';
  const clients = process.argv[3] ?? '16';
  const modes = (process.argv[4] ?? 'prepared,extended,simple').split(',');
  const execArgv = process.env.FLOTILLA_BENCH_PROFILE === '1' ? ['--cpu-prof'] : [];
  const server = fork(self, { env: { ...process.env, FLOTILLA_BENCH_SERVER: '1' }, execArgv });
  const [{ port }] = await once(server, 'message');
  const cpu = async () => {
    const reply = once(server, 'message');
    server.send('cpu');
    const [{ cpu: used }] = await reply;
    return used.user + used.system;
  };
  const load = async (mode, duration) => {
    const { stdout } = await run('pgbench', [
      ...['-n', '-h', '127.0.0.1', '-p', String(port), '-U', 'bench', '-M', mode, '-f', script],
      ...['-c', clients, '-j', '1', '-T', duration],
    ]);
    return Number(/number of transactions actually processed: (\d+)/.exec(stdout)?.[1]);
  };
  for (const mode of modes) {
    await load(mode, '1'); // warm up
    const before = await cpu();
    const transactions = await load(mode, seconds);
    const used = (await cpu()) - before;
    const microseconds = (used / transactions).toFixed(1);
    process.stdout.write(
      `${mode}: ${Math.round(transactions / Number(seconds))} tps, ${microseconds} us CPU per transaction\n`,
    );
  }
  server.disconnect();
}
