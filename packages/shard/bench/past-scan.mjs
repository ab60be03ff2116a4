/**
 * What a scan of a snapshot costs that is older than the rows: of those that have no older version (they were loaded after it), and
 * of those that were replaced once. CPU time of this process per row, on LevelDB. Usage: node packages/shard/bench/past-scan.mjs [rows]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLevelEngine } from '../dist/engine/level-engine.js';
import { StorageSpace } from '../dist/state/storage-keys.js';
import { encodeStored } from '../dist/state/stored-value.js';
import { VersionScan } from '../dist/transaction/version-scan.js';

const rows = Number(process.argv[2] ?? 20_000);
const directory = await mkdtemp(join(tmpdir(), 'flotilla-past-scan-'));
const engine = await openLevelEngine(directory);
const space = new StorageSpace(1);
const value = Buffer.alloc(60, 'x');
const keyOf = (kind, n) => Buffer.from(`${kind}${String(n).padStart(8, '0')}`);

for (const kind of ['loaded', 'replaced'])
  for (let from = 0; from < rows; from += 1000) {
    const operations = [];
    for (let n = from; n < from + 1000; n++) {
      const key = keyOf(kind, n);
      operations.push({
        type: 'put',
        key: space.dataKey(key),
        value: encodeStored(key, 200, value),
      });
      if (kind === 'replaced')
        operations.push({
          ...{ type: 'put', key: space.historyKey(key, 200) },
          value: encodeStored(key, 50, value),
        });
    }
    await engine.write(operations);
  }
await engine.flush();

for (const kind of ['loaded', 'replaced']) {
  const costs = [];
  for (let round = 0; round < 5; round++) {
    const before = process.cpuUsage();
    const scan = new VersionScan({
      ...{ engine, space, reverse: false, withDeleted: false },
      span: { startKey: Buffer.from(kind), endKey: Buffer.from(`${kind}~`) },
      ...{ readTimestamp: 100, uncertaintyLimit: 100 },
      ...{ rowsMax: Infinity, bytesMax: Infinity, chunkRows: 256 },
    });
    const result = await scan.run();
    const expected = kind === 'loaded' ? 0 : rows;
    if (result.rows.length !== expected) throw new Error(`${result.rows.length} rows were visible`);
    const { user, system } = process.cpuUsage(before);
    costs.push((user + system) / rows);
  }
  costs.sort((a, b) => a - b);
  process.stdout.write(`${kind} since: ${costs[2].toFixed(1)} us of CPU per row\n`);
}
await engine.close();
await rm(directory, { recursive: true });
