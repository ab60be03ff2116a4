/** What ANALYZE reads of a table that takes longer than a snapshot may be old. */
import { DbError, prefixSpan, SystemClock } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import type { BeginOptions, KvTransaction } from '../../kv-transaction.ts';
import { sampleSnapshotMs } from '../../limits.ts';
import { MemoryKvDatabase } from '../../testing/memory-kv-database.ts';
import { Pace } from '../run.ts';
import type { RowSample } from './row-sample.ts';
import { sampleOf } from './sampling.ts';

const span = prefixSpan(Buffer.of(0x10));
const rowsThere = 1_000;

/** Every snapshot is too old after so many batches of rows; `onBatch` runs before each. */
class ForgetfulDatabase extends MemoryKvDatabase {
  batchesMax = Number.POSITIVE_INFINITY;
  snapshots = 0;
  onBatch: () => void = () => {};

  override begin(options?: BeginOptions): KvTransaction {
    const transaction = super.begin(options);
    if (options?.readOnly !== true) return transaction;
    this.snapshots++;
    const forgets = <Part>(parts: AsyncIterable<Part>): AsyncIterable<Part> => this.forget(parts);
    const { scan, evaluate } = transaction;
    if (this.evaluates)
      transaction.evaluate = (...of) => {
        const parts = evaluate.apply(transaction, of);
        return parts === undefined ? undefined : forgets(parts);
      };
    else transaction.scan = (...of) => forgets(scan.apply(transaction, of));
    return transaction;
  }

  private async *forget<Part>(parts: AsyncIterable<Part>): AsyncGenerator<Part> {
    let batches = 0;
    for await (const part of parts) {
      this.onBatch();
      if (++batches > this.batchesMax) throw new DbError('SNAPSHOT_TOO_OLD', 'it was forgotten');
      yield part;
    }
  }
}

describe.each([true, false])('a sample, of programs: %s', (evaluates) => {
  let database: ForgetfulDatabase;
  let clock: ManualClock;

  beforeEach(() => {
    database = new ForgetfulDatabase({ batchPairs: 100 });
    database.evaluates = evaluates;
    clock = new ManualClock();
    database.apply(
      Array.from({ length: rowsThere }, (_one, i) => ({
        key: Buffer.of(0x10, i >> 8, i & 0xff),
        ...{ value: Buffer.from('row'), mustBeAbsent: false },
      })),
      [],
    );
  });

  function sample(): Promise<RowSample> {
    return sampleOf(span, {
      ...{ rows: 2 * rowsThere, seed: 1, clock },
      pace: new Pace(new SystemClock(), undefined),
      begin: () => database.begin({ readOnly: true }),
    });
  }

  it('has every row once, of as many snapshots as it takes', async () => {
    database.batchesMax = 2;
    const { of, rows } = await sample();
    const keys = new Set(rows.map(({ key }) => Buffer.from(key).toString('hex')));
    expect([of, rows.length, keys.size]).toEqual([rowsThere, rowsThere, rowsThere]);
    expect(database.snapshots).toBe(5);
  });

  it('takes a later snapshot before the cluster has to keep one for it', async () => {
    database.onBatch = () => clock.advance(sampleSnapshotMs / 2);
    expect((await sample()).of).toBe(rowsThere);
    // The last one finds that there are no more.
    expect(database.snapshots).toBe(6);
  });

  it('fails where a snapshot is too old at once', async () => {
    database.batchesMax = 0;
    await expect(sample()).rejects.toMatchObject({ code: 'SNAPSHOT_TOO_OLD' });
    expect(database.snapshots).toBe(1);
  });
});
