/**
 * The write-ahead log alone on the operating system's disk: `node packages/raft/bench/wal.mjs` after `pnpm run build`.
 * One batch outstanding, as the driver does it; each batch carries one entry of 256 bytes for each of G groups.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { NodeDisk, SystemClock, toLogIndex, toRangeId, toTerm } from '@flotilla/base';
import { openWriteAheadLog } from '@flotilla/raft';

const secondsPerCase = Number(process.env.SECONDS ?? 2);
const data = new Uint8Array(256).fill(7);

async function measure(groups) {
  const directory = await mkdtemp(path.join(tmpdir(), 'flotilla-bench-'));
  const wal = await openWriteAheadLog({
    disk: new NodeDisk(),
    directory,
    clock: new SystemClock(),
  });
  const latencies = [];
  let entries = 0;
  const ids = Array.from({ length: groups }, (_, i) => toRangeId(i + 1));
  const cpuBefore = process.cpuUsage();
  const start = performance.now();
  for (let index = 1; performance.now() - start < secondsPerCase * 1000; index++) {
    const entry = { index: toLogIndex(index), term: toTerm(1), kind: 'command', data };
    const writes = ids.map((rangeId) => ({ rangeId, hardState: undefined, entries: [entry] }));
    const at = performance.now();
    await wal.append(writes);
    latencies.push(performance.now() - at);
    entries += groups;
  }
  const seconds = (performance.now() - start) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  await wal.close();
  const reopenAt = performance.now();
  const again = await openWriteAheadLog({
    disk: new NodeDisk(),
    directory,
    clock: new SystemClock(),
  });
  const reopenMs = performance.now() - reopenAt;
  await again.close();
  await rm(directory, { recursive: true });
  latencies.sort((a, b) => a - b);
  const quantile = (q) => latencies[Math.floor(latencies.length * q)].toFixed(3);
  return {
    groups,
    'batches/s': Math.round(latencies.length / seconds),
    'entries/s': Math.round(entries / seconds),
    'MB/s': ((entries * data.length) / seconds / 1e6).toFixed(1),
    'p50 ms': quantile(0.5),
    'p99 ms': quantile(0.99),
    'CPU us/entry': ((cpu.user + cpu.system) / entries).toFixed(2),
    'reopen ms': reopenMs.toFixed(0),
  };
}

for (const groups of [1, 16, 256])
  process.stdout.write(`${JSON.stringify(await measure(groups))}\n`);
