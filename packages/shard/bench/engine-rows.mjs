/**
 * CPU of LevelDB per put, all of its threads: batches of 256 puts of two rows each (the newest version, and the one that it
 * replaces), and point reads. By processor time, so that it can be compared between two checkouts on a busy machine.
 *
 *   pnpm run build && UV_THREADPOOL_SIZE=16 node packages/shard/bench/engine-rows.mjs [keys] [puts]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLevelEngine } from '@flotilla/shard';

const keys = Number(process.argv[2] ?? 10_000);
const puts = Number(process.argv[3] ?? 200_000);
const batchPuts = 256;
const value = Buffer.alloc(77, 'v');
const root = mkdtempSync(join(tmpdir(), 'flotilla-engine-'));
const engine = await openLevelEngine(join(root, 'engine'));

/** As `state/storage-keys.ts` lays them out, for a key of 64 bytes. */
function newestKey(number) {
  return Buffer.concat([Buffer.of(0x64, 0, 0, 0, 3), Buffer.from(`k${pad(number, 63)}`)]);
}

let time = 2 ** 50;
function historyKey(number) {
  const at = Buffer.alloc(8);
  at.writeBigUInt64BE(BigInt(time++));
  const key = Buffer.from(`k${pad(number, 63)}`);
  return Buffer.concat([Buffer.of(0x68, 0, 0, 0, 3), key, Buffer.of(0, 1), at]);
}

function pad(number, digits) {
  return String(number).padStart(digits, '0');
}

function microsSince(before, count) {
  const { user, system } = process.cpuUsage(before);
  return ((user + system) / count).toFixed(2);
}

const writing = process.cpuUsage();
for (let done = 0; done < puts; done += batchPuts) {
  const operations = [];
  for (let i = 0; i < batchPuts; i++) {
    const number = Math.floor(Math.random() * keys);
    operations.push({ type: 'put', key: newestKey(number), value });
    operations.push({ type: 'put', key: historyKey(number), value });
  }
  await engine.write(operations);
}
process.stdout.write(`put: ${microsSince(writing, puts)} us\n`);

const reads = Math.min(puts, 100_000);
const reading = process.cpuUsage();
let found = 0;
for (let i = 0; i < reads; i++)
  if (engine.get(newestKey(Math.floor(Math.random() * keys))) !== undefined) found++;
process.stdout.write(`get: ${microsSince(reading, reads)} us, ${found} of ${reads} found\n`);

await engine.close();
rmSync(root, { recursive: true, force: true });
