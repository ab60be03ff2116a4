/**
 * What a read of one key costs when the keys lie in one range, and when they lie in many: one store and its clients in one
 * process, without a network, user CPU. Both are read in turns. The least of the rounds says most where the machine does
 * other work.
 *
 *   pnpm run build && node packages/client/bench/reads-over-ranges.mjs [ranges] [clients] [reads] [rounds]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  holdProcess,
  MemoryNetwork,
  NodeDisk,
  osPrng,
  SystemClock,
  toRangeId,
  toStoreId,
} from '@flotilla/base';
import { bootstrapCluster, createRouter } from '@flotilla/router';
import { initialRanges, openLevelEngine, openStore } from '@flotilla/shard';

const [ranges, clients, reads, rounds] = [1000, 48, 40_000, 9].map((byDefault, i) =>
  Number(process.argv[2 + i] ?? byDefault),
);
const keysEach = Math.ceil(5000 / ranges);
const kvByte = 8;
const storeId = toStoreId(1);
const clock = new SystemClock();
const network = new MemoryNetwork({ clock });
const directory = mkdtempSync(join(tmpdir(), 'reads-over-ranges-'));
const hold = holdProcess();

/** The first range of the SDK's keys holds as many keys as all others. */
function cut() {
  return initialRanges([storeId], 4).flatMap((range, i) => {
    if (range.startKey[0] !== kvByte) return [{ ...range, rangeId: toRangeId(i + 1) }];
    return Array.from({ length: ranges + 1 }, (_, at) => ({
      ...range,
      rangeId: toRangeId(100 + at),
      startKey: at === 0 ? range.startKey : startOf(at),
      endKey: at === ranges ? range.endKey : startOf(at + 1),
    }));
  });
}

function startOf(range) {
  const start = Buffer.of(kvByte, 0x6b, 0, 0);
  start.writeUInt16BE(Math.floor((range * 0x1_0000) / (ranges + 1)), 2);
  return start;
}

function keyOf(range, n) {
  const key = Buffer.alloc(14);
  if (range === 0) key[0] = kvByte;
  else key.set(startOf(range));
  key.writeUInt32BE(n, 10);
  return key;
}

const below = (n) => Math.floor(Math.random() * n);
const anywhere = {
  one: () => keyOf(0, below(keysEach * ranges)),
  many: () => keyOf(1 + below(ranges), below(keysEach)),
};

async function lanes(count, lane) {
  await Promise.all(Array.from({ length: count }, lane));
}

async function fill(router) {
  const keys = [];
  for (let n = 0; n < keysEach * ranges; n++)
    keys.push(keyOf(0, n), keyOf(1 + (n % ranges), Math.floor(n / ranges)));
  const value = Buffer.alloc(100, 'v');
  await lanes(64, async () => {
    for (let key = keys.pop(); key !== undefined; key = keys.pop()) {
      const mutations = [{ kind: 'put', key, value }];
      await router.write({ conditions: [], mutations, deleteSpans: [] }, { timeoutMs: 120_000 });
    }
  });
}

/** @returns us of CPU per read */
async function cost(router, key) {
  let left = reads;
  const before = process.cpuUsage();
  await lanes(clients, async () => {
    while (left-- > 0) {
      const [found] = await router.get([key()]);
      if (found === undefined) throw new Error('a key has no value');
    }
  });
  return process.cpuUsage(before).user / reads;
}

const store = await openStore({
  directory,
  storeId,
  machine: 'bench',
  version: 'bench',
  transport: network.connect('store'),
  clock,
  prng: osPrng(),
  disk: new NodeDisk(),
  openEngine: openLevelEngine,
  onFatal: (error) => {
    throw error;
  },
});
const parts = { clock, prng: osPrng() };
await bootstrapCluster({
  ...parts,
  transport: network.connect('founder'),
  expectedStores: 1,
  ranges: cut,
  timeoutMs: 120_000,
});
const router = createRouter({ ...parts, transport: network.connect('router') });
await fill(router);
for (let turn = 0; turn < 3; turn++)
  for (const key of Object.values(anywhere)) await cost(router, key);
const costs = { one: [], many: [] };
for (let round = 0; round < rounds; round++)
  for (const [name, key] of Object.entries(anywhere)) costs[name].push(await cost(router, key));
for (const [name, all] of Object.entries(costs)) {
  const sorted = all.toSorted((a, b) => a - b);
  const [median, least] = [sorted[sorted.length >> 1], sorted[0]].map((us) => us.toFixed(2));
  process.stdout.write(
    `${name === 'one' ? 1 : ranges} ranges: ${median} us per read, least ${least}\n`,
  );
}
await router.close();
await store.stop({ timeoutMs: 5000 });
rmSync(directory, { recursive: true, force: true });
hold.cancel();
