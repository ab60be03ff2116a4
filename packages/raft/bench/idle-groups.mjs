/**
 * Three drivers in one process with N groups each, a memory network with the real codec and the real log on a disk in
 * memory: what idle groups cost, and what it does to the loop when one of the three stores is lost.
 * `node packages/raft/bench/idle-groups.mjs` after `pnpm run build`; COUNTS=10,100 SECONDS=5 choose others.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { osPrng, SystemClock, toLogIndex, toRangeId, toReplicaId, toStoreId } from '@flotilla/base';
import { MemoryDisk } from '@flotilla/base/testing';
import {
  createMultiRaft,
  decodeRaftMessage,
  encodeRaftMessage,
  openWriteAheadLog,
} from '@flotilla/raft';

const clock = new SystemClock();
const seconds = Number(process.env.SECONDS ?? 10);
const counts = (process.env.COUNTS ?? '10,100,1000,10000').split(',').map(Number);
const storeIds = [1, 2, 3].map(toStoreId);
const replicaIds = [1, 2, 3].map(toReplicaId);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const keepAlive = setInterval(() => {}, 1000);

async function cluster(groups) {
  const stats = { messages: 0, storeMessages: 0, frames: 0, bytes: 0 };
  const nodes = new Map();
  const cut = new Set();
  const leaders = new Map();
  for (const storeId of storeIds) {
    const wal = await openWriteAheadLog({ disk: new MemoryDisk(), directory: 'wal', clock });
    let outbox = new Map();
    const flush = () => {
      const frames = outbox;
      outbox = new Map();
      for (const [to, messages] of frames) {
        stats.frames++;
        if (cut.has(storeId) || cut.has(to)) continue;
        const decoded = messages.map((bytes) => decodeRaftMessage(bytes).message);
        nodes.get(to).receive(storeId, decoded);
      }
    };
    const raft = createMultiRaft({
      storeId,
      incarnation: 1,
      clock,
      prng: osPrng(),
      wal,
      send: (to, message) => {
        stats.messages++;
        if (message.kind.startsWith('store')) stats.storeMessages++;
        const bytes = encodeRaftMessage(message);
        stats.bytes += bytes.length;
        const waiting = outbox.get(to);
        if (waiting !== undefined) waiting.push(bytes);
        else {
          if (outbox.size === 0) setImmediate(flush);
          outbox.set(to, [bytes]);
        }
      },
      stateMachine: {
        apply: async () => {},
        sendSnapshot: async () => ({ ok: false, index: toLogIndex(0) }),
        onUnknownGroup: () => {},
        onSoftState: (rangeId, { role }) => {
          if (role === 'leader') leaders.set(rangeId, storeId);
          else if (leaders.get(rangeId) === storeId) leaders.delete(rangeId);
        },
      },
      onFatal: (error) => {
        throw error;
      },
    });
    nodes.set(storeId, raft);
  }
  const configuration = {
    voters: replicaIds,
    votersOutgoing: [],
    learners: [],
    storeOf: new Map(replicaIds.map((id, i) => [id, storeIds[i]])),
  };
  for (const [storeId, raft] of nodes)
    for (let i = 1; i <= groups; i++)
      raft.addGroup({
        rangeId: toRangeId(i),
        self: toReplicaId(storeId),
        configuration,
        appliedIndex: toLogIndex(0),
        freshGroup: true,
      });
  return { stats, nodes, cut, leaders };
}

for (const groups of counts) {
  const { stats, nodes, cut, leaders } = await cluster(groups);
  const started = performance.now();
  while (leaders.size < groups) await sleep(20);
  const electedMs = performance.now() - started;
  let quiet = 0;
  for (let before = stats.messages - stats.storeMessages; quiet < 5; ) {
    await sleep(400);
    const now = stats.messages - stats.storeMessages;
    quiet = now === before ? quiet + 1 : 0;
    before = now;
  }
  const before = { ...stats };
  const cpu = process.cpuUsage();
  await sleep(seconds * 1000);
  const used = process.cpuUsage(cpu);
  const idle = { ...stats };
  const rate = (name) => ((idle[name] - before[name]) / seconds).toFixed(1);
  const groupMessages =
    idle.messages - before.messages - (idle.storeMessages - before.storeMessages);
  const leases = [...leaders].filter(([id, store]) => nodes.get(store).leaseValid(id)).length;

  const delay = monitorEventLoopDelay({ resolution: 1 });
  const lost = storeIds[0];
  const led = [...leaders].filter(([, store]) => store === lost).map(([id]) => id);
  delay.enable();
  const cutAt = performance.now();
  cut.add(lost);
  const orphans = () => led.some((id) => leaders.get(id) === undefined || leaders.get(id) === lost);
  while (led.length > 0 && orphans() && performance.now() - cutAt < 30_000) await sleep(10);
  const failoverMs = performance.now() - cutAt;
  delay.disable();
  process.stdout.write(
    `${JSON.stringify({
      groups,
      'elected ms': Math.round(electedMs),
      'CPU % of a core, 3 stores': ((used.user + used.system) / 1e4 / seconds).toFixed(2),
      'store messages/s': rate('storeMessages'),
      'group messages/s': (groupMessages / seconds).toFixed(1),
      'frames/s': rate('frames'),
      'bytes/s': rate('bytes'),
      'leases valid': leases,
      'led by lost store': led.length,
      'failover ms': Math.round(failoverMs),
      'loop delay max ms (3 stores in one loop)': (delay.max / 1e6).toFixed(1),
    })}\n`,
  );
  cut.clear();
  await sleep(100);
  for (const raft of nodes.values()) await raft.stop({ transferTimeoutMs: 0 });
}
clearInterval(keepAlive);
