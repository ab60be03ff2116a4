/**
 * Puts and gets per second against three stores in this one process: memory network, real logs and LevelDB in temporary
 * directories, 256 requests outstanding. Everything shares one event loop, so a store of its own process does more.
 *
 *   pnpm run build && UV_THREADPOOL_SIZE=16 node packages/shard/bench/store-bench.mjs [seconds]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  FrameReader,
  MemoryNetwork,
  NodeDisk,
  Outbox,
  osPrng,
  SystemClock,
  toStoreId,
} from '@flotilla/base';
import { initialRanges, openLevelEngine, openStore } from '@flotilla/shard';
import { kv } from '@flotilla/shard/protocol';

const seconds = Number(process.argv[2] ?? 5);
const outstanding = 256;
const keyCount = 100_000;
const value = Buffer.alloc(64, 'v');
const clock = new SystemClock();
// The clock's own timers do not keep a process alive.
const alive = setInterval(() => {}, 1000);
const network = new MemoryNetwork({ clock });
const root = mkdtempSync(join(tmpdir(), 'flotilla-bench-'));
const storeIds = [1, 2, 3].map(toStoreId);
const ranges = initialRanges(storeIds);
const clusterId = Buffer.alloc(16, 1);

const stores = await Promise.all(
  storeIds.map((storeId) =>
    openStore({
      directory: join(root, `${storeId}`),
      storeId,
      machine: `m${storeId}`,
      version: 'bench',
      transport: network.connect(`store-${storeId}`),
      clock,
      prng: osPrng(),
      disk: new NodeDisk(),
      openEngine: openLevelEngine,
      onFatal: (error) => {
        throw error;
      },
    }),
  ),
);

// ---- a client: answers by request id, requests of a turn in one frame per store

const transport = network.connect('bench');
const outbox = new Outbox({
  transport,
  clock,
  header: () => ({ clusterId, timestamp: 0, sender: { kind: 'client', clientId: 'bench' } }),
});
const waiting = new Map();
const reader = new FrameReader({ clock });
transport.listen({ kind: 'client', clientId: 'bench' }, (frame) => {
  for (const message of reader.read(frame).messages) {
    const response = kv.Response.decode(message);
    const callback = waiting.get(response.requestId);
    waiting.delete(response.requestId);
    callback?.(response);
  }
});
let requestId = 0;
function send(storeId, body, callback) {
  requestId++;
  waiting.set(requestId, callback);
  const bytes = kv.Request.encode({ requestId, timeoutMs: 10_000, ...body }).finish();
  outbox.enqueue({ kind: 'store', storeId, channel: 'kv' }, bytes);
}
const ask = (storeId, body) => new Promise((resolve) => send(storeId, body, resolve));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

await Promise.all(
  storeIds.map((storeId) => ask(storeId, { bootstrap: { clusterId, storeId, ranges } })),
);
await Promise.all(stores.map((store) => store.ready));
await pause(6000); // leaders settle where they are preferred

const kvRanges = ranges.filter((range) => range.endKey[0] === 8 || range.startKey[0] === 8);
const lanes = [];
for (const range of kvRanges) {
  if (range.startKey[0] !== 8) continue;
  for (const { storeId } of range.replicas) {
    const answer = await ask(storeId, {
      rangeId: range.rangeId,
      generation: 1,
      registerSession: { nonce: Buffer.from(`n${range.rangeId}`) },
    });
    if (!answer.registerSession) continue;
    const first = range.startKey[1] ?? 0;
    lanes.push({ range, storeId, first, session: answer.registerSession.sessionId });
  }
}
print(`${lanes.length} ranges led by stores ${lanes.map((lane) => lane.storeId).join(' ')}`);

function print(line) {
  process.stdout.write(`${line}\n`);
}

function randomKey(lane) {
  const key = Buffer.alloc(12);
  key[0] = 8;
  key[1] = lane.first + Math.floor(Math.random() * 64);
  key.writeUInt32BE(Math.floor(Math.random() * keyCount), 8);
  return key;
}

/** Keeps `outstanding` requests under way for `seconds`; returns rate and latencies. */
async function drive(name, makeBody, check) {
  const latencies = [];
  let done = 0;
  let running = true;
  const start = performance.now();
  const cpu = process.cpuUsage();
  await new Promise((resolve) => {
    let active = 0;
    const next = (lane, slot) => {
      if (!running) {
        if (--active === 0) resolve();
        return;
      }
      const sent = performance.now();
      send(lane.storeId, makeBody(lane, slot), (response) => {
        check(response, slot);
        done++;
        latencies.push(performance.now() - sent);
        next(lane, slot);
      });
    };
    for (let i = 0; i < outstanding; i++) {
      active++;
      next(lanes[i % lanes.length], { serial: 0 });
    }
    setTimeout(() => {
      running = false;
    }, seconds * 1000);
  });
  const elapsed = (performance.now() - start) / 1000;
  const used = process.cpuUsage(cpu);
  latencies.sort((a, b) => a - b);
  const at = (q) => latencies[Math.floor(latencies.length * q)].toFixed(2);
  const micros = (used.user + used.system) / done;
  print(
    `${name}: ${Math.round(done / elapsed)}/s, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, ` +
      `${micros.toFixed(1)} us CPU each (process, all three stores and the client)`,
  );
}

// Every lane hands out serials and acknowledges the longest answered prefix.
for (const lane of lanes) Object.assign(lane, { serial: 0, acked: 0, answered: new Set() });
const laneOf = new Map();
await drive(
  'put 64 B',
  (lane, slot) => {
    slot.serial = ++lane.serial;
    laneOf.set(slot, lane);
    return {
      rangeId: lane.range.rangeId,
      generation: 1,
      write: {
        sessionId: lane.session,
        serial: slot.serial,
        ackedUpTo: lane.acked,
        mutations: [{ key: randomKey(lane), value }],
      },
    };
  },
  (response, slot) => {
    if (!response.write?.applied) throw new Error(JSON.stringify(response));
    const lane = laneOf.get(slot);
    lane.answered.add(slot.serial);
    while (lane.answered.delete(lane.acked + 1)) lane.acked++;
  },
);
await drive(
  'get',
  (lane) => ({ rangeId: lane.range.rangeId, generation: 1, get: { keys: [randomKey(lane)] } }),
  (response) => {
    if (!response.get) throw new Error(JSON.stringify(response));
  },
);
await Promise.all(stores.map((store) => store.stop({ timeoutMs: 3000 })));
rmSync(root, { recursive: true, force: true });
clearInterval(alive);
