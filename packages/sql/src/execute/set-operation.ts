/** INTERSECT and EXCEPT, with and without ALL. */
import type { SqlType } from '../types/type.ts';
import type { Row } from './evaluate.ts';
import { type HashKey, hashKeyOf } from './hash-key.ts';
import type { Batches, NodeText, Operator } from './operator.ts';
import { type Run, rowBytes } from './run.ts';
import { Partitions, partitionCount } from './spill/partitions.ts';
import { canSpill, Holding } from './spill/spilling.ts';

interface Counted {
  readonly row: Row;
  /** How often it came on the right and has not left on the left. */
  count: number;
}

/** Rows of both sides, parted alike by key. Those of the right have their count behind them. */
interface Parts {
  readonly lefts: Partitions;
  readonly rights: Partitions;
}

/**
 * How often each row came on the right decides how often it leaves on the left. Where memory has no room for the rows of the
 * right, what is known and all that is to come are parted by key, and each part is worked through by itself.
 */
export class SetOperationOperator implements Operator {
  readonly inputs: readonly Operator[];
  readonly text: () => NodeText;
  private readonly operation: 'intersect' | 'except';
  private readonly all: boolean;
  private readonly key: (row: Row) => HashKey;

  constructor(
    inputs: readonly [Operator, Operator],
    operation: 'intersect' | 'except',
    all: boolean,
    types: readonly SqlType[],
  ) {
    this.inputs = inputs;
    this.operation = operation;
    this.all = all;
    this.key = hashKeyOf(types);
    const word = operation === 'intersect' ? 'Intersect' : 'Except';
    this.text = () => ({ head: `HashSetOp ${word}${all ? ' All' : ''}`, details: [] });
  }

  open(run: Run): Batches {
    const [left, right] = this.inputs;
    if (left === undefined || right === undefined) throw new RangeError('there are two inputs');
    return this.combine(run, left.open(run), counted(right.open(run)), 0);
  }

  /** @param rights each row with its count behind it */
  private async *combine(run: Run, lefts: Batches, rights: Batches, level: number): Batches {
    const counts = new Map<HashKey, Counted>();
    const holding = new Holding(run.memory);
    let parts: Parts | undefined;
    const add = (key: HashKey, row: Row, count: number): boolean => {
      const known = counts.get(key);
      if (known !== undefined) {
        known.count += count;
        return true;
      }
      counts.set(key, { row, count });
      return holding.take(rowBytes(row) * 2);
    };
    try {
      for await (const batch of rights) {
        let fits = true;
        for (const row of batch) {
          const [own, count] = [row.slice(0, -1), Number(row[row.length - 1])];
          const key = this.key(own);
          if (parts === undefined) fits = add(key, own, count) && fits;
          else parts.rights.add(key, row);
        }
        if (run.pace.due()) await run.pace.rest();
        if (parts !== undefined) await parts.rights.settle();
        else if (!fits && canSpill(run, holding.bytes))
          parts = await this.part(run, counts, holding, level);
      }
      for await (const batch of lefts) {
        const rows: Row[] = [];
        let fits = true;
        for (const row of batch) {
          const key = this.key(row);
          if (parts !== undefined) parts.lefts.add(key, row);
          else if (counts.has(key)) {
            if (this.takes(key, counts)) rows.push(row);
          } else if (this.operation === 'except') {
            rows.push(row);
            // Without ALL it leaves once: after that it is as if it had come on the right.
            if (!this.all) fits = add(key, row, 1) && fits;
          }
        }
        if (run.pace.due()) await run.pace.rest();
        if (parts !== undefined) await parts.lefts.settle();
        else if (!fits && canSpill(run, holding.bytes))
          parts = await this.part(run, counts, holding, level);
        if (rows.length > 0) yield rows;
      }
      if (parts === undefined) return;
      const { lefts: ofLeft, rights: ofRight } = parts;
      for (let part = 0; part < partitionCount; part++)
        if (ofLeft.rowsIn(part) > 0)
          yield* this.combine(run, ofLeft.drain(part), ofRight.drain(part), level + 1);
    } finally {
      holding.release();
      await parts?.lefts.close();
      await parts?.rights.close();
    }
  }

  /** A row of the left of which the right knows. */
  private takes(key: HashKey, counts: ReadonlyMap<HashKey, Counted>): boolean {
    const known = counts.get(key);
    if (known === undefined) return false;
    const left = known.count;
    if (this.all) {
      if (left > 0) known.count--;
      return this.operation === 'intersect' ? left > 0 : left === 0;
    }
    if (this.operation === 'except') return false;
    known.count = 0;
    return left > 0;
  }

  private async part(
    run: Run,
    counts: Map<HashKey, Counted>,
    holding: Holding,
    level: number,
  ): Promise<Parts> {
    const parts = { lefts: new Partitions(run, level), rights: new Partitions(run, level) };
    let rows = 0;
    for (const [key, { row, count }] of counts) {
      parts.rights.add(key, [...row, count]);
      if ((++rows & 1023) === 0) await parts.rights.settle();
    }
    await parts.rights.settle();
    counts.clear();
    holding.release();
    return parts;
  }
}

async function* counted(batches: Batches): Batches {
  for await (const batch of batches) yield batch.map((row) => [...row, 1]);
}
