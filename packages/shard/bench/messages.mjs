/**
 * What the messages of a put cost by themselves, warm: least CPU of many short runs, and heap bytes (with --expose-gc).
 * A put is one request decoded and one response encoded at the leader, its command encoded once, and decoded by two followers.
 *
 *   pnpm run build && node --expose-gc --min-semi-space-size=64 --max-semi-space-size=64 packages/shard/bench/messages.mjs
 */
import { flotilla } from '../gen/kv.js';

const { CommandBatch, Request } = flotilla.kv;
const commandsPerEntry = 256;
const timestamp = 2 ** 52;
const key = Buffer.alloc(64, 'k');
const value = Buffer.alloc(77, 'v');
const nothing = Buffer.alloc(0);

const command = (number) => ({
  sessionId: timestamp - 1e9,
  serial: 1e6 + number,
  ackedUpTo: 1e6 - commandsPerEntry,
  timestamp: timestamp + number,
  writes: [
    {
      key,
      value,
      isDelete: false,
      previousTimestamp: timestamp - 5e9,
      previousValue: value,
      versionTimestamp: 0,
    },
  ],
  registerNonce: nothing,
  evictedSessionId: 0,
  failedCondition: 0,
  foundTimestamp: 0,
  intents: [],
  records: [],
  versionTimestamp: 0,
});
const batch = {
  generation: 1,
  term: 3,
  commands: Array.from({ length: commandsPerEntry }, (_, number) => command(number)),
};
const entry = Buffer.from(CommandBatch.encode(batch).finish());
const request = Buffer.from(
  Request.encode({
    requestId: 1e6,
    timeoutMs: 5000,
    rangeId: 3,
    generation: 1,
    write: { sessionId: timestamp, serial: 1e6, ackedUpTo: 1e6 - 3, mutations: [{ key, value }] },
  }).finish(),
);

const cases = {
  'request decoded': () => {
    for (let i = 0; i < commandsPerEntry; i++) Request.decode(request);
  },
  'command encoded': () => CommandBatch.encode(batch).finish(),
  'command decoded': () => CommandBatch.decode(entry),
};
const times = (count, work) => {
  for (let i = 0; i < count; i++) work();
};

for (const [name, work] of Object.entries(cases)) {
  times(150, work);
  let least = Infinity;
  for (let run = 0; run < 60; run++) {
    const before = process.cpuUsage();
    times(8, work);
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, (user + system) / (8 * commandsPerEntry));
  }
  globalThis.gc?.();
  const { heapUsed } = process.memoryUsage();
  times(20, work);
  const bytes = (process.memoryUsage().heapUsed - heapUsed) / (20 * commandsPerEntry);
  process.stdout.write(`${name}: ${least.toFixed(2)} us, ${bytes.toFixed(0)} heap bytes\n`);
}
