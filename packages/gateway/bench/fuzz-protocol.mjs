/**
 * Fuzz of the wire protocol against a gateway in this process: streams of right and wrong messages in every order, cut into pieces
 * of one byte to one megabyte, with lengths that lie, unknown types, NULs, tens of thousands of parameters, and half messages that
 * are never finished. What the gateway says must be whole messages; a stream of whole messages must end with the connection closed or
 * its last question answered; the gateway must report no defect and not grow.
 *
 * Usage: pnpm fuzz:protocol [--streams N] [--from N] [--seconds N] [--seed N]   (default 2000 streams; the seed is printed)
 */
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { SeededPrng, SystemClock } from '@flotilla/base';
import { createSqlEngine } from '@flotilla/sql';
import { MemoryKvDatabase } from '@flotilla/sql/testing';
import { startGateway } from '../dist/index.js';
import { AnswerWatch } from '../dist/testing/answer-watch.js';

const { values: options } = parseArgs({
  options: {
    streams: { type: 'string', default: '2000' },
    from: { type: 'string', default: '0' },
    seconds: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (options.help) {
  process.stdout.write(`Usage: pnpm fuzz:protocol [--streams N] [--from N] [--seconds N] [--seed N]

Sends N streams (default 2000) of right and wrong messages to a gateway in this process. Exit code 1: the gateway reported a
defect, stopped answering, lost its place or grew. The same seed sends the same streams; --from N makes those before the Nth without
sending them, --seconds N stops after that long and says how many were sent.
`);
  process.exit(0);
}

const streams = Number(options.streams);
const from = Number(options.from);
const secondsMax = Number(options.seconds);
const seed = Number(options.seed);
const wholeNumbers = [streams, from, seed].every((value) => Number.isSafeInteger(value));
if (!wholeNumbers || from < 0 || from >= streams || !(secondsMax > 0)) {
  process.stderr.write(
    '--streams, --from and --seed are whole numbers, --from less than --streams, --seconds above 0\n',
  );
  process.exit(2);
}
const prng = new SeededPrng(seed);
const pick = (list) => list[prng.nextBelow(list.length)];
const chance = (percent) => prng.nextBelow(100) < percent;

/** Of the event loop, some milliseconds each: a connection that says nothing for so many has lost its place. */
const silentTurnsMax = 10_000;
/** Clients that are left connected and silent, at a time. */
const silentOnesMax = 200;

const defects = [];
const quiet = () => {};
const logger = {
  debug: quiet,
  info: quiet,
  warn: quiet,
  error: (facts, event) => defects.push(`${event} ${JSON.stringify(facts)}`),
  child: () => logger,
};
const clock = new SystemClock();
const engine = await createSqlEngine({ database: new MemoryKvDatabase(), clock });
const gateway = await startGateway({
  ...{ host: '127.0.0.1', port: 0, clock, logger },
  createSession: (session) => engine.createSession(session),
  onFatal: (error) => defects.push(`fatal ${String(error?.stack ?? error)}`),
  limits: { stallMs: 400, lingerMs: 100, authenticationDeadlineMs: 800, messageBytesMax: 4 << 20 },
});

const text = (value) => Buffer.from(`${value}\0`, 'utf8');
const int16 = (value) => {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value & 0xffff);
  return bytes;
};
const int32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};
function message(type, ...parts) {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(type, 'latin1'), int32(body.length + 4), body]);
}
const random = (length) => {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = prng.nextBelow(256);
  return bytes;
};
const start = (() => {
  const body = Buffer.concat([int32(196608), text('user'), text('fuzz'), Buffer.of(0)]);
  return Buffer.concat([int32(body.length + 4), body]);
})();

const queries = [
  'select 1',
  '',
  ';;',
  'select $1::int',
  'select * from generate_series(1, 5000)',
  'begin',
  'commit',
  'rollback',
  'select 1/0',
  'nonsense',
  'copy t from stdin',
  'copy t from stdin (format binary)',
  'copy (select 1) to stdout',
  'declare c cursor for select 1',
  'fetch all from c',
  'listen x',
  "notify x, 'y'",
  'create table t (a int, b text)',
  'insert into t values (1, $$x$$) returning *',
  'drop table t',
  'set application_name = $$\u0001$$',
  `select '${'x'.repeat(3000)}'`,
];
const name = () => pick(['', '', 's', 'p', 'a b', 'x'.repeat(200)]);
function bind() {
  const count = pick([0, 0, 1, 1, 2, 65_535]);
  const value = () => pick([int32(-1), Buffer.concat([int32(1), Buffer.of(0x31)]), int32(-2)]);
  const values =
    count > 100 ? [Buffer.alloc(count * 4, 0xff)] : Array.from({ length: count }, value);
  const formats = pick([[], [0], [1], [7], [0, 1]]).map(int16);
  return message(
    'B',
    text(name()),
    text(name()),
    ...[int16(formats.length), ...formats],
    ...[int16(pick([count, count, count, count + 1])), ...values],
    int16(0),
  );
}
const makers = [
  () => message('Q', text(pick(queries))),
  () => message('P', text(name()), text(pick(queries)), int16(0)),
  () =>
    message(
      'P',
      text(name()),
      text('select $1'),
      int16(1),
      int32(pick([0, 23, 25, 4_000_000_000])),
    ),
  bind,
  bind,
  () => message('D', Buffer.from(pick(['S', 'P', 'X'])), text(name())),
  () => message('E', text(name()), int32(pick([0, 1, -1, 2 ** 31 - 1]))),
  () => message('E', text(name()), int32(0)),
  () => message('C', Buffer.from(pick(['S', 'P', '\0'])), text(name())),
  () => message('S'),
  () => message('S'),
  () => message('H'),
  () => message('d', random(prng.nextBelow(300))),
  () => message('d', Buffer.from('1\tx\n')),
  () => message('c'),
  () => message('f', text('no')),
  () => message('F', random(20)),
];
function mangled(bytes) {
  const copy = Buffer.from(bytes);
  switch (prng.nextBelow(6)) {
    case 0: // the length lies
      if (copy.length >= 5)
        copy.writeUInt32BE(pick([0, 3, 4, 5, 0x7fffffff, 0xffffffff, copy.length + 7]), 1);
      return copy;
    case 1: // another type
      copy[0] = prng.nextBelow(256);
      return copy;
    case 2: // cut
      return copy.subarray(0, prng.nextBelow(copy.length));
    case 3: // one byte is another
      copy[prng.nextBelow(copy.length)] = prng.nextBelow(256);
      return copy;
    case 4: // a NUL where none belongs
      copy[5 + prng.nextBelow(Math.max(1, copy.length - 5))] = 0;
      return copy;
    default:
      return Buffer.concat([copy, random(prng.nextBelow(40))]);
  }
}

/** Only the last question of a stream is answered with an error that holds it. */
const markOf = (index) => `"the end of stream ${index}"`;
const lastQuestion = (index) => message('D', Buffer.from('S'), text(markOf(index).slice(1, -1)));

/** A stream of messages; `sane`: none of them is mangled, so the connection must go on answering. */
function makeMessages(index) {
  const sane = chance(50);
  const parts = [];
  for (let left = 1 + prng.nextBelow(30); left > 0; left--) {
    const one = pick(makers)();
    parts.push(!sane && chance(25) ? mangled(one) : one);
  }
  // Whatever state that led to: a copy is ended, Sync is answered, and so is what follows.
  if (sane) parts.push(message('c'), message('S'), lastQuestion(index), message('S'));
  return { sane, bytes: Buffer.concat(parts), silent: !sane && chance(10) };
}

/** All that chance decides about one stream: drawn in the order of the streams, whatever becomes of them. */
function makeStream(index) {
  const { sane, bytes, silent } = makeMessages(index);
  const noise = chance(5) ? random(1 + prng.nextBelow(64)) : undefined;
  const size = pick([1, 7, 4096, 1 << 20]);
  const stays = chance(95);
  return {
    whole: noise ?? Buffer.concat([start, bytes]),
    size,
    awaitsAnswer: sane && stays && noise === undefined,
    silent,
  };
}

async function run(index, { whole, size, awaitsAnswer, silent }) {
  const socket = connect({ host: '127.0.0.1', port: gateway.port, noDelay: true });
  const watch = new AnswerWatch(markOf(index));
  let heard = 0;
  let ended = false;
  socket.on('error', quiet);
  socket.on('data', (chunk) => {
    heard += chunk.length;
    watch.take(chunk);
  });
  const closed = new Promise((resolve) => {
    socket.on('close', () => {
      ended = true;
      resolve();
    });
  });
  const piece = Math.max(size, whole.length >> 12); // some thousands of pieces are enough
  for (let at = 0; at < whole.length && !ended; at += piece) {
    if (socket.writable) socket.write(whole.subarray(at, at + piece));
    if (piece < 4096 && at % (piece * 64) === 0) await pause(0);
  }
  if (awaitsAnswer) {
    // Counted in turns of this process, which the gateway lives in too: on a busy machine both are slow.
    let before = heard;
    for (let turns = 0; !ended && !watch.answered && turns < silentTurnsMax; turns++) {
      if (heard !== before) turns = 0;
      before = heard;
      await pause(1);
    }
    if (!ended && !watch.answered) defects.push(`stream ${index}: the last question has no answer`);
  }
  const finish = async () => {
    if (watch.defect !== undefined) defects.push(`stream ${index}: ${watch.defect}`);
    socket.destroy();
    await closed;
  };
  if (silent) leaveSilent(Promise.race([closed, pause(2_000)]).then(finish));
  else await finish();
}

/** Clients that say no more, for two seconds each: others go on meanwhile. */
const silentOnes = new Set();
function leaveSilent(over) {
  silentOnes.add(over);
  void over.then(() => silentOnes.delete(over));
}

let grownFrom = 0;
const begunAt = performance.now();
for (let index = 0; index < from; index++) makeStream(index);
let index = from;
while (index < streams && performance.now() - begunAt < secondsMax * 1000) {
  const batch = [];
  for (let i = 0; i < 16 && index < streams; i++, index++)
    batch.push(run(index, makeStream(index)));
  await Promise.all(batch);
  if (silentOnes.size >= silentOnesMax) await Promise.race(silentOnes);
  if (index >= from + (streams - from) / 4 && grownFrom === 0) {
    globalThis.gc?.();
    grownFrom = process.memoryUsage().heapUsed;
  }
  if (defects.length > 0) break;
}
await Promise.all(silentOnes);
await pause(500);
globalThis.gc?.();
const grown = process.memoryUsage().heapUsed - grownFrom;
if (gateway.connectionCount > 0) defects.push(`${gateway.connectionCount} connections are left`);
if (globalThis.gc !== undefined && grown > 32 << 20)
  defects.push(`the heap grew by ${grown} bytes`);
await gateway.stop({ graceMs: 0 });
const seconds = ((performance.now() - begunAt) / 1000).toFixed(1);
process.stdout.write(
  `seed ${seed}: ${index - from} streams in ${seconds} s, heap ${(grown / 2 ** 20).toFixed(1)} MiB, ${defects.length} defects\n`,
);
for (const defect of defects.slice(0, 10)) process.stdout.write(`  ${defect}\n`);
process.exitCode = defects.length === 0 ? 0 : 1;
