/** Random and mutated byte streams. Nothing may crash, hang, leak a connection or disturb a well-behaved client. */
import { SeededPrng } from '@flotilla/base';
import { expect, test } from 'vitest';
import * as wire from './testing/raw-client.ts';
import { eventually, startTestGateway, stopTestGateway } from './testing/test-gateway.ts';

const seed = Number(process.env.FLOTILLA_SEED ?? 20_261_121);
const budgetMs = 3_000;
const streamsMax = 1_500;

/** A sound conversation, to be damaged. */
function conversation(prng: SeededPrng): Buffer {
  const pieces: (() => Buffer)[] = [
    () => wire.query('select 1; insert x'),
    () => wire.query('values 300 20'),
    () => wire.query('fail 23505'),
    () => wire.query('boom'),
    () => wire.parse('select $1', 's', [23]),
    () => wire.parse('values 10'),
    () => wire.bind({ statement: 's', formats: [1], values: [Buffer.from([0, 0, 0, 1])] }),
    () => wire.bind({ portal: 'p', resultFormats: [1] }),
    () => wire.describe('S', 's'),
    () => wire.describe('P', 'p'),
    () => wire.execute(2, 'p'),
    () => wire.execute(),
    () => wire.close('P', 'p'),
    () => wire.close('S', 's'),
    () => wire.flush,
    () => wire.sync,
    () => wire.message('d', Buffer.from('data')),
    () => wire.message('F', Buffer.alloc(8)),
    () => wire.terminate,
  ];
  const start: Buffer[] = [];
  if (prng.nextBelow(4) === 0) start.push(wire.sslRequest);
  if (prng.nextBelow(10) > 0) start.push(wire.startup({ user: 'fuzz', TimeZone: 'UTC' }));
  const rest = Array.from({ length: prng.nextBelow(20) }, () => {
    const make = pieces[prng.nextBelow(pieces.length)];
    return make === undefined ? Buffer.alloc(0) : make();
  });
  return Buffer.concat([...start, ...rest, wire.sync]);
}

function damage(prng: SeededPrng, sound: Buffer): Buffer {
  const bytes = Buffer.from(sound);
  switch (prng.nextBelow(5)) {
    case 0:
      return bytes; // in order, but perhaps nonsense
    case 1: // noise all over
      for (let index = 0; index < bytes.length; index++) bytes[index] = prng.nextUint32();
      return bytes;
    case 2: // cut off
      return bytes.subarray(0, prng.nextBelow(bytes.length + 1));
    case 3: {
      // a piece removed
      const from = prng.nextBelow(bytes.length);
      return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + prng.nextBelow(8))]);
    }
    default: // a few bytes changed, behind the start-up packet as a rule
      for (let left = 1 + prng.nextBelow(4); left > 0; left--) {
        const at = 40 + prng.nextBelow(Math.max(1, bytes.length - 40));
        if (at < bytes.length) bytes[at] = prng.nextUint32();
      }
      return bytes;
  }
}

test(`random and mutated byte streams do no harm (FLOTILLA_SEED=${seed})`, async () => {
  const rejections: unknown[] = [];
  const onRejection = (reason: unknown): void => void rejections.push(reason);
  process.on('unhandledRejection', onRejection);
  const world = await startTestGateway();
  const { gateway, fatals } = world;
  const { client: wellBehaved } = await wire.RawClient.ready(gateway.port);
  const prng = new SeededPrng(seed);
  const end = performance.now() + budgetMs;
  let streams = 0;
  while (streams < streamsMax && performance.now() < end) {
    const clients = await Promise.all(
      Array.from({ length: 10 }, () => wire.RawClient.connect(gateway.port)),
    );
    for (const client of clients) {
      const bytes = damage(prng, conversation(prng));
      const cut = prng.nextBelow(bytes.length + 1);
      client.socket.write(bytes.subarray(0, cut));
      client.socket.write(bytes.subarray(cut));
      const ending = prng.nextBelow(4);
      if (ending === 0) client.socket.end();
      else if (ending === 1) client.socket.resetAndDestroy();
      streams++;
    }
    expect(await wellBehaved.types(wire.query('select 1'))).toBe('TDCZ');
    for (const client of clients) client.socket.end();
    for (const client of clients) await client.until(() => client.ended);
    for (const client of clients) client.destroy();
  }
  await eventually(() => gateway.connectionCount === 1);
  expect(await wellBehaved.types(wire.query('select 1'))).toBe('TDCZ');
  wellBehaved.destroy();
  await stopTestGateway(world);
  process.off('unhandledRejection', onRejection);
  expect(streams).toBeGreaterThanOrEqual(50);
  expect({ fatals, rejections }).toEqual({ fatals: [], rejections: [] });
});
