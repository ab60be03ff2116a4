/**
 * The servers that `prepared-select.mjs` compares, each in a process of its own. `floor`: a socket that knows one answer;
 * what it costs nobody can do without. `wire`: the gateway over a session with a canned answer. `gateway`: the gateway with the
 * SQL engine over pairs in memory, which stand for the store's answer.
 */
import { createServer } from 'node:net';
import { SystemClock } from '@flotilla/base';

export const rowsMax = 1000;
const int4 = 23;

export const servers = { floor: serveFloor, wire: serveWire, gateway: serveGateway };

function message(type, ...parts) {
  const body = Buffer.concat(parts);
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

/** Answers by the first letters of messages alone: no buffer, no parsing, one write for what arrived together. */
async function serveFloor() {
  const int16 = (value) => Buffer.from([value >> 8, value & 0xff]);
  const int32 = (value) => Buffer.from([0, 0, value >> 8, value & 0xff]);
  const field = Buffer.concat([
    Buffer.from('abalance\0'),
    ...[int32(16384), int16(3), int32(int4), int16(4), Buffer.alloc(4, 0xff), int16(0)],
  ]);
  const ready = message('Z', Buffer.from('I'));
  const described = message('T', int16(1), field);
  const result = Buffer.concat([
    message('D', int16(1), int32(1), Buffer.from('7')),
    message('C', Buffer.from('SELECT 1\0')),
  ]);
  const answers = {
    P: message('1'),
    B: message('2'),
    D: described,
    E: result,
    S: ready,
    Q: Buffer.concat([described, result, ready]),
  };
  const hello = Buffer.concat([message('R', int32(0)), ready]);
  const server = createServer({ noDelay: true }, (socket) => {
    let begun = false;
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      if (!begun) {
        // Eight bytes ask whether there is encryption.
        if (chunk.length === 8) {
          socket.write('N');
          return;
        }
        begun = true;
        socket.write(hello);
        return;
      }
      const out = [];
      for (let at = 0; at + 5 <= chunk.length; at += 1 + chunk.readInt32BE(at + 1)) {
        const answer = answers[String.fromCharCode(chunk[at])];
        if (answer !== undefined) out.push(answer);
      }
      if (out.length > 0) socket.write(out.length === 1 ? out[0] : Buffer.concat(out));
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server.address().port;
}

async function serveWire() {
  const { SessionStatements } = await import('@flotilla/sql');
  const columns = [
    {
      name: 'abalance',
      ...{ typeOid: int4, typeLength: 4, typeModifier: -1, tableOid: 16384, attributeNumber: 3 },
    },
  ];
  const unparameterized = { parameterTypes: [], columns, readOnly: true, endsFailure: false };
  const prepared = { ...unparameterized, parameterTypes: [int4] };
  async function* rows(value) {
    yield [[value]];
  }
  const nothing = () => undefined;
  return listen(() => ({
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
  }));
}

async function serveGateway() {
  const { createSqlEngine } = await import('@flotilla/sql');
  const { MemoryKvDatabase } = await import('@flotilla/sql/testing');
  const { SeededPrng } = await import('@flotilla/base');
  const engine = await createSqlEngine({
    database: new MemoryKvDatabase(),
    clock: new SystemClock(),
    prng: new SeededPrng(1),
    catalogLease: true,
  });
  const session = engine.createSession({ user: 'bench', database: 'flotilla' });
  for (const text of [
    'create table pgbench_accounts (aid int primary key, bid int, abalance int, filler char(84))',
    `insert into pgbench_accounts select i, 1, 7, '' from generate_series(1, ${rowsMax}) i`,
  ])
    for (const statement of session.parse(text))
      await session.execute(await session.prepare(statement, []), []);
  return listen((options) => engine.createSession(options));
}

async function listen(createSession) {
  const { startGateway } = await import('../dist/index.js');
  const gateway = await startGateway({
    ...{ host: '127.0.0.1', port: 0, clock: new SystemClock() },
    createSession,
  });
  return gateway.port;
}
