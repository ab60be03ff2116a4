/**
 * Whether time tells which names are roles: guesses at passwords of roles and of names that no role has, in random order, one after
 * the other over loopback, by SCRAM, each timed from connecting to the refusal. The gateway is a process of its own over a database
 * in memory, so that nothing but its own work is in the times.
 *
 * Usage: pnpm bench:login-timing [--logins N] [--ratio X] [--plant MICROSECONDS] [--seed N]
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { SeededPrng, SystemClock } from '@flotilla/base';
import { createSqlEngine } from '@flotilla/sql';
import { MemoryKvDatabase } from '@flotilla/sql/testing';
import { parseAccessRules, startGateway } from '../dist/index.js';
import { fields, RawClient } from '../dist/testing/raw-client.js';
import { guessScram } from '../dist/testing/scram.js';
import { asOperator } from '../dist/testing/test-gateway.js';

/** Names of either kind, of the same length: one name's own oddities weigh nothing. */
const namesOfAKind = 20;
/** Not counted: code is compiled and the made-up verifiers' secret is read. */
const warmUpLogins = 100;
/** How far the chance that an unknown name takes longer than a role may be from one half. */
const skewMax = 0.15;

if (process.env.FLOTILLA_BENCH_SERVER === undefined) await measure();
else await serve(Number(process.env.FLOTILLA_BENCH_SERVER));

async function serve(plantedMicroseconds) {
  const clock = new SystemClock();
  const engine = await createSqlEngine({ database: new MemoryKvDatabase(), clock });
  for (let i = 0; i < namesOfAKind; i++)
    await asOperator(engine, `create role ${nameOf('known', i)} login password 'correct ${i}'`);
  const { logins } = engine;
  const verifier = async (user) => {
    const until = performance.now() + plantedMicroseconds / 1000;
    const found = await logins.verifier(user);
    if (user.startsWith('other')) while (performance.now() < until);
    return found;
  };
  const gateway = await startGateway({
    ...{ host: '127.0.0.1', port: 0, clock },
    createSession: (session) => engine.createSession(session),
    accessRules: parseAccessRules('host all all 127.0.0.1/32 scram-sha-256').rules,
    logins: { verifier, admit: (...of) => logins.admit(...of) },
  });
  process.on('disconnect', () => process.exit(0));
  process.send({ port: gateway.port });
}

async function measure() {
  const options = readOptions();
  const server = fork(fileURLToPath(import.meta.url), {
    env: { ...process.env, FLOTILLA_BENCH_SERVER: String(options.plant) },
  });
  const [{ port }] = await once(server, 'message');
  const prng = new SeededPrng(options.seed);
  const times = { known: [], other: [] };
  for (let round = -warmUpLogins; round < options.logins; round++) {
    const order = prng.nextBelow(2) === 0 ? ['known', 'other'] : ['other', 'known'];
    for (const kind of order) {
      const taken = await timeOfGuess(port, nameOf(kind, prng.nextBelow(namesOfAKind)));
      if (round >= 0) times[kind].push(taken);
    }
  }
  server.disconnect();
  report(options, times);
}

/** @returns milliseconds */
async function timeOfGuess(port, user) {
  const began = performance.now();
  const client = await RawClient.connect(port);
  const answers = await guessScram(client, { user, database: 'flotilla' });
  const taken = performance.now() - began;
  client.destroy();
  const { C: code } = fields(answers.at(-1).body);
  if (code !== '28P01') throw new Error(`${user} was answered ${code}, not 28P01`);
  return taken;
}

function report({ logins, ratio: ratioMax, seed }, times) {
  const [known, other] = [median(times.known), median(times.other)];
  const ratio = other / known;
  const longer = chanceOfLonger(times.other, times.known);
  const kept = ratio <= ratioMax && ratio >= 1 / ratioMax && Math.abs(longer - 0.5) <= skewMax;
  process.stdout.write(`seed ${seed}, ${logins} guesses each, one at a time
wrong password of a role   median ${known.toFixed(3)} ms
name that no role has      median ${other.toFixed(3)} ms
ratio                      ${ratio.toFixed(3)} (may be ${(1 / ratioMax).toFixed(3)} to ${ratioMax.toFixed(3)})
no role took longer        ${longer.toFixed(3)} of all pairs (may be ${0.5 - skewMax} to ${0.5 + skewMax})
${kept ? 'kept' : 'BROKEN'}: time does not tell which names are roles
`);
  process.exitCode = kept ? 0 : 1;
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      logins: { type: 'string', default: '400' },
      ratio: { type: 'string', default: '1.25' },
      plant: { type: 'string', default: '0' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`Usage: pnpm bench:login-timing [options]

Guesses passwords of roles and of names that no role has, and compares the times to the refusals: the medians, and how often one kind
takes longer than the other. Exit code: 0 alike, 1 not alike, 2 used wrongly.

  --logins N    guesses of each kind (default 400)
  --ratio X     how far apart the medians may be (default 1.25)
  --plant N     the gateway takes N microseconds longer for names that no role has: to see that it is noticed (default 0)
  --seed N      of the order
`);
    process.exit(0);
  }
  const { help: _help, ...texts } = values;
  const numbers = Object.entries(texts).map(([name, text]) => [name, Number(text)]);
  const options = Object.fromEntries(numbers);
  const usable =
    Number.isSafeInteger(options.logins) &&
    options.logins > 0 &&
    options.ratio >= 1 &&
    options.plant >= 0 &&
    Number.isSafeInteger(options.seed);
  if (usable) return options;
  process.stderr.write('--logins, --plant and --seed are numbers, --ratio is at least 1\n');
  process.exit(2);
}

function nameOf(kind, number) {
  return `${kind}_${String(number).padStart(2, '0')}`;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

/** Of all pairs, the share in which the one of `a` is longer: 0.5 where the two are alike (Mann and Whitney's U over its most). */
function chanceOfLonger(a, b) {
  let longer = 0;
  for (const one of a) for (const other of b) longer += one > other ? 1 : one === other ? 0.5 : 0;
  return longer / (a.length * b.length);
}
