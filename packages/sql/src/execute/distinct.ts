/** DISTINCT and DISTINCT ON. */
import type { SqlType } from '../types/type.ts';
import type { Row } from './evaluate.ts';
import { type HashKey, hashKeyOf } from './hash-key.ts';
import type { Batches, NodeText, Operator } from './operator.ts';
import { Unary } from './relational.ts';
import type { Run } from './run.ts';
import { Partitions, partitionCount } from './spill/partitions.ts';
import { canSpill, Holding } from './spill/spilling.ts';

/**
 * Rows that are not distinct from an earlier one are left out. Rows that memory has no room to remember are parted by key,
 * and each part is gone through by itself.
 */
export class DistinctOperator extends Unary implements Operator {
  readonly text: () => NodeText;
  private readonly key: (row: Row) => HashKey;

  constructor(input: Operator, types: readonly SqlType[], text: () => NodeText) {
    super(input);
    this.key = hashKeyOf(types);
    this.text = text;
  }

  open(run: Run): Batches {
    return this.distinct(run, this.input.open(run), 0);
  }

  private async *distinct(run: Run, batches: Batches, level: number): Batches {
    const seen = new Set<HashKey>();
    const holding = new Holding(run.memory);
    let parts: Partitions | undefined;
    try {
      for await (const batch of batches) {
        const rows: Row[] = [];
        let fits = true;
        for (const row of batch) {
          const key = this.key(row);
          if (seen.has(key)) continue;
          if (parts !== undefined) {
            parts.add(key, row);
            continue;
          }
          fits = holding.take(64 + (typeof key === 'string' ? key.length * 2 : 16)) && fits;
          seen.add(key);
          rows.push(row);
        }
        if (run.pace.due()) await run.pace.rest();
        if (parts !== undefined) await parts.settle();
        else if (!fits && canSpill(run, holding.bytes)) parts = new Partitions(run, level);
        if (rows.length > 0) yield rows;
      }
      seen.clear();
      holding.release();
      if (parts === undefined) return;
      for (let part = 0; part < partitionCount; part++)
        if (parts.rowsIn(part) > 0) yield* this.distinct(run, parts.drain(part), level + 1);
    } finally {
      holding.release();
      await parts?.close();
    }
  }
}

/** DISTINCT ON: of rows that come sorted by certain columns, the first of those that are equal in them. */
export class UniqueOperator extends Unary implements Operator {
  readonly text = (): NodeText => ({ head: 'Unique', details: [] });
  private readonly key: (row: Row) => HashKey;
  private readonly on: readonly number[];

  /** @param on offsets of the columns */
  constructor(input: Operator, types: readonly SqlType[], on: readonly number[]) {
    super(input);
    this.key = hashKeyOf(on.flatMap((column) => types[column] ?? []));
    this.on = on;
  }

  async *open(run: Run): Batches {
    const { on } = this;
    let last: HashKey | undefined;
    for await (const batch of this.input.open(run)) {
      const rows = batch.filter((row) => {
        const key = this.key(on.map((column) => row[column] ?? null));
        if (last !== undefined && (key === last || Object.is(key, last))) return false;
        last = key;
        return true;
      });
      if (run.pace.due()) await run.pace.rest();
      if (rows.length > 0) yield rows;
    }
  }
}
