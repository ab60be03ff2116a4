import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { EngineOperation } from '../engine/engine.ts';
import { StorageSpace } from '../state/storage-keys.ts';
import { encodeStored } from '../state/stored-value.ts';
import { MemoryEngine } from '../testing/memory-engine.ts';
import { historyAt } from './history.ts';
import { VersionScan, visibleAt } from './version-scan.ts';

/** Against the whole past of every key, as a list. */

interface Change {
  readonly key: string;
  readonly isDelete: boolean;
}

const keys = ['a', 'a\0', 'b', 'b\xff', 'c'];
const span = { startKey: Buffer.from('a'), endKey: Buffer.from('c') };

/** Change n has timestamp 10 * (n + 1). */
async function engineAfter(changes: readonly Change[]): Promise<{
  engine: MemoryEngine;
  lastDeletion: number;
}> {
  const engine = new MemoryEngine();
  const space = new StorageSpace(1);
  const newest = new Map<string, Buffer>();
  let lastDeletion = 0;
  const operations: EngineOperation[] = [];
  changes.forEach(({ key: text, isDelete }, at) => {
    const key = Buffer.from(text, 'latin1');
    const timestamp = 10 * (at + 1);
    const before = newest.get(text);
    if (before !== undefined)
      operations.push({ type: 'put', key: space.historyKey(key, timestamp), value: before });
    if (isDelete) {
      lastDeletion = timestamp;
      newest.delete(text);
      operations.push({ type: 'del', key: space.dataKey(key) });
    } else {
      const value = encodeStored(key, timestamp, Buffer.from(`v${timestamp}`));
      newest.set(text, value);
      operations.push({ type: 'put', key: space.dataKey(key), value });
    }
  });
  await engine.write(operations);
  return { engine, lastDeletion };
}

type Seen = { readonly timestamp: number } | 'absent' | 'uncertain';

function naive(changes: readonly Change[], key: string, read: number, limit: number): Seen {
  let seen: Seen = 'absent';
  let present = false;
  for (const [at, change] of changes.entries()) {
    const timestamp = 10 * (at + 1);
    if (change.key !== key) continue;
    // A deletion of what is not there changes nothing and leaves no trace.
    if (change.isDelete && !present) continue;
    present = !change.isDelete;
    if (timestamp > read) return timestamp <= limit ? 'uncertain' : seen;
    seen = change.isDelete ? 'absent' : { timestamp };
  }
  return seen;
}

it('a scan of the past sees what was there, either way, in pages of any size', async () => {
  const change = fc.record({
    key: fc.constantFrom(...keys),
    isDelete: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(change, { maxLength: 25 }),
      fc.integer({ min: 0, max: 270 }),
      fc.integer({ min: 0, max: 30 }),
      fc.boolean(),
      fc.integer({ min: 1, max: 3 }),
      async (changes, readTimestamp, uncertainty, reverse, chunkRows) => {
        const uncertaintyLimit = readTimestamp + uncertainty;
        const { engine, lastDeletion } = await engineAfter(changes);
        const space = new StorageSpace(1);
        const inSpan = keys.filter((key) => key < 'c').sort();
        const expected = inSpan.map((key) => naive(changes, key, readTimestamp, uncertaintyLimit));
        const result = await new VersionScan({
          engine,
          space,
          span,
          reverse,
          readTimestamp,
          uncertaintyLimit,
          withDeleted: lastDeletion > readTimestamp,
          rowsMax: 100,
          bytesMax: 10_000,
          chunkRows,
        }).run();
        if (expected.includes('uncertain')) expect(result.kind).toBe('uncertain');
        else {
          expect(result.kind).toBe('rows');
          const rows = result.kind === 'rows' ? result.rows : [];
          const visible = inSpan.flatMap((key, at) => {
            const seen = expected[at];
            return typeof seen === 'object' ? [`${key}@${seen.timestamp}`] : [];
          });
          if (reverse) visible.reverse();
          expect(
            rows.map(
              ({ key, timestamp }) => `${Buffer.from(key ?? []).toString('latin1')}@${timestamp}`,
            ),
          ).toEqual(visible);
        }
        // A get looks each key up by itself, and sees the same.
        for (const [at, text] of inSpan.entries()) {
          const key = Buffer.from(text, 'latin1');
          const old = await historyAt(engine, space, key, readTimestamp);
          const found = visibleAt(engine.get(space.dataKey(key)), old, {
            readTimestamp,
            uncertaintyLimit,
          });
          const seen = expected[at];
          expect(found.kind).toBe(typeof seen === 'object' ? 'version' : seen);
        }
      },
    ),
    { numRuns: 150 },
  );
});
