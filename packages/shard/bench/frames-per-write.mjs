/**
 * What a write sends between stores, over ever more ranges that one store leads: frames and messages per write, on
 * virtual time (a sync and every way through the network take 1 ms), so that it is the same on every machine.
 *
 *   pnpm run build && node packages/shard/bench/frames-per-write.mjs [ranges,…] [clients,…] [writes]
 */
import { FrameReader, present, toRangeId, toStoreId } from '@flotilla/base';
import { decodeRaftMessage } from '@flotilla/raft';
import { initialRanges } from '@flotilla/shard';
import { StoreCluster } from '@flotilla/shard/testing';

const numbers = (text) => text.split(',').map(Number);
const rangeCounts = numbers(process.argv[2] ?? '1,10,60');
const clientCounts = numbers(process.argv[3] ?? '1,48');
const writes = Number(process.argv[4] ?? 1000);
const storeIds = [1, 2, 3].map(toStoreId);
const leader = present(storeIds[0], 'a store');
const value = Buffer.alloc(100, 'v');
const kvByte = 8;

/** The founding cut with the SDK's keys in `count` ranges. Its number decides which store a range should be led by. */
function rangesOf(count) {
  const boundOf = (i) => {
    const at = Math.floor((i * 0x1_0000) / count);
    return Uint8Array.of(kvByte, at >> 8, at & 0xff);
  };
  return initialRanges(storeIds, 4).flatMap((range, i) => {
    if (i === 0) return [range];
    if (range.startKey[0] !== kvByte) return [{ ...range, rangeId: toRangeId(30_000 + i) }];
    return Array.from({ length: count }, (_, at) => ({
      ...range,
      rangeId: toRangeId(storeIds.length * (at + 1)),
      startKey: at === 0 ? range.startKey : boundOf(at),
      endKey: at === count - 1 ? range.endKey : boundOf(at + 1),
    }));
  });
}

async function sessionIn(cluster, client, { rangeId }) {
  for (;;) {
    const registerSession = { nonce: Buffer.from(`${rangeId}`) };
    const request = client.request(leader, { rangeId, generation: 1, registerSession });
    const answer = await cluster.until(request);
    if (answer?.registerSession) return answer.registerSession.sessionId;
    await cluster.run(500); // not led there yet
  }
}

/** Notes every frame between stores, and what is in it. */
function countFrames(cluster) {
  const counts = { frames: 0, appends: 0, 'empty appends': 0, answers: 0, 'of stores': 0 };
  const kindOf = ({ kind, entries }) => {
    if (kind.startsWith('store')) return 'of stores';
    if (kind !== 'appendEntriesRequest') return 'answers';
    return entries.length > 0 ? 'appends' : 'empty appends';
  };
  cluster.network.setFilter((_from, to, frame) => {
    if (to.channel !== 'raft') return true;
    counts.frames++;
    for (const bytes of new FrameReader({ clock: cluster.clock }).read(frame).messages)
      counts[kindOf(decodeRaftMessage(bytes).message)]++;
    return true;
  });
  return counts;
}

async function measure(count, clients) {
  const ranges = rangesOf(count);
  const cluster = new StoreCluster({ seed: 7, ranges, syncDelayMs: [1, 1] });
  await cluster.start();
  const client = cluster.client({ attemptMs: 5000 });
  const lanes = [];
  for (const range of ranges.filter(({ startKey }) => startKey[0] === kvByte))
    lanes.push({
      range,
      sessionId: await sessionIn(cluster, client, range),
      ...{ serial: 0, acked: 0, answered: new Set() },
    });
  await cluster.run(2000);
  cluster.network.setFaults({ delayMsMin: 1, delayMsMax: 1 });
  let left = writes;
  const write = async () => {
    const lane = lanes[cluster.prng.nextBelow(lanes.length)];
    const { range, sessionId } = lane;
    const serial = ++lane.serial;
    const key = Buffer.alloc(8);
    key.set(range.startKey);
    key.writeUInt32BE(cluster.prng.nextBelow(1000), 4);
    const answer = await client.request(leader, {
      rangeId: range.rangeId,
      generation: 1,
      write: { sessionId, serial, ackedUpTo: lane.acked, mutations: [{ key, value }] },
    });
    if (!answer?.write?.applied) throw new Error(`a write failed: ${JSON.stringify(answer)}`);
    lane.answered.add(serial);
    while (lane.answered.delete(lane.acked + 1)) lane.acked++;
  };
  const counts = countFrames(cluster);
  const from = cluster.clock.nowMs();
  const loop = async () => {
    while (left-- > 0) await write();
  };
  await cluster.until(Promise.all(Array.from({ length: clients }, loop)), 3_600_000);
  const perWrite = Object.entries(counts).map(([name, n]) => `${(n / writes).toFixed(2)} ${name}`);
  const ms = ((cluster.clock.nowMs() - from) / writes).toFixed(2);
  process.stdout.write(
    `${clients} clients, ${count} ranges: ${ms} ms (virtual) and ${perWrite.join(', ')} per write\n`,
  );
  await cluster.stopAll();
}

for (const clients of clientCounts) for (const count of rangeCounts) await measure(count, clients);
