/**
 * One group with one voter on a disk in memory: what the driver, the core and the log cost without a network or a real
 * sync. `node packages/raft/bench/driver.mjs` after `pnpm run build`.
 */
import { osPrng, SystemClock, toLogIndex, toRangeId, toReplicaId, toStoreId } from '@flotilla/base';
import { MemoryDisk } from '@flotilla/base/testing';
import { createMultiRaft, openWriteAheadLog } from '@flotilla/raft';

const clock = new SystemClock();
const wal = await openWriteAheadLog({ disk: new MemoryDisk(), directory: 'wal', clock });
const range = toRangeId(1);
const outstandingMax = Number(process.env.OUTSTANDING ?? 256);
const total = Number(process.env.TOTAL ?? 300_000);
const data = new Uint8Array(256).fill(7);
let applied = 0;
let proposed = 0;
let leading = false;
let finished = () => {};
const done = new Promise((resolve) => {
  finished = resolve;
});

function refill() {
  while (leading && proposed - applied < outstandingMax && proposed < total)
    if (raft.propose(range, data).ok) proposed++;
    else return;
}

const raft = createMultiRaft({
  storeId: toStoreId(1),
  incarnation: 1,
  clock,
  prng: osPrng(),
  wal,
  send: () => {},
  stateMachine: {
    apply: async (batch) => {
      for (const { entries } of batch)
        for (const entry of entries) if (entry.kind === 'command') applied++;
      setImmediate(refill);
      if (applied >= total) finished();
    },
    sendSnapshot: async () => ({ ok: false, index: toLogIndex(0) }),
    onUnknownGroup: () => {},
    onSoftState: (_range, { role }) => {
      leading = role === 'leader';
      setImmediate(refill);
    },
  },
  onFatal: (error) => {
    throw error;
  },
});
raft.addGroup({
  rangeId: range,
  self: toReplicaId(1),
  configuration: {
    voters: [toReplicaId(1)],
    votersOutgoing: [],
    learners: [],
    storeOf: new Map([[toReplicaId(1), toStoreId(1)]]),
  },
  appliedIndex: toLogIndex(0),
  freshGroup: true,
});
const keepAlive = setInterval(() => {}, 1000);
while (!leading) await new Promise((resolve) => setTimeout(resolve, 10));
const syncs = wal.syncs();
const cpuBefore = process.cpuUsage();
const start = performance.now();
refill();
await done;
const seconds = (performance.now() - start) / 1000;
const cpu = process.cpuUsage(cpuBefore);
process.stdout.write(
  `${JSON.stringify({
    outstanding: outstandingMax,
    'proposals/s': Math.round(total / seconds),
    'CPU us/proposal': ((cpu.user + cpu.system) / total).toFixed(2),
    'proposals/batch': (total / (wal.syncs() - syncs)).toFixed(1),
  })}\n`,
);
await raft.stop({ transferTimeoutMs: 0 });
clearInterval(keepAlive);
