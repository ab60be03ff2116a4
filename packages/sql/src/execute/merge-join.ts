/**
 * Merge joins: both sides come in the order of the keys, and are gone through side by side. What is held are the rows of the right
 * side with one key, to be met again by each row of the left with that key. Rows with a NULL in their key match nothing, wherever
 * in the order they are.
 */
import { batchRows } from '../limits.ts';
import type { Datum } from '../session-api.ts';
import type { Evaluator, Row } from './evaluate.ts';
import { holdsFor, type JoinShape, joined } from './join.ts';
import { type Batches, forEachRow, type NodeText, type Operator } from './operator.ts';
import type { Run } from './run.ts';
import { KeyGroup } from './spill/key-group.ts';

type Compare = (a: Datum, b: Datum) => number;

/** One column of the keys. Both sides come in its order, in the same direction. */
export interface MergeKey {
  readonly left: Evaluator;
  readonly right: Evaluator;
  /** A value of the left with one of the right: negative, the left one comes first in the sides' order. Never asked about NULL. */
  readonly compare: Compare;
  /** Two values of the right. */
  readonly compareRight: Compare;
}

export interface MergeKeys {
  readonly columns: readonly MergeKey[];
  /** Of the first column: its NULLs come after everything else of the side. */
  readonly nullsLast: { readonly left: boolean; readonly right: boolean };
}

export class MergeJoinOperator implements Operator {
  readonly inputs: readonly Operator[];
  readonly text: () => NodeText;
  private readonly left: Operator;
  private readonly right: Operator;
  private readonly shape: JoinShape;
  private readonly keys: MergeKeys;

  constructor(
    inputs: readonly [left: Operator, right: Operator],
    shape: JoinShape,
    keys: MergeKeys,
    text: () => NodeText,
  ) {
    this.inputs = inputs;
    [this.left, this.right] = inputs;
    this.shape = shape;
    this.keys = keys;
    this.text = text;
  }

  async *open(run: Run, enough?: number, _keys?: Uint8Array, expected?: number): Batches {
    const { shape, keys } = this;
    const { columns, nullsLast } = keys;
    const hint = enough ?? expected;
    // Each row of the left goes on at least once.
    const lefts = this.left.open(run, shape.type === 'left' ? enough : undefined, undefined, hint);
    const rights = this.right.open(run, undefined, undefined, hint);
    const left = new Side(
      run,
      lefts,
      columns.map((key) => key.left),
      nullsLast.left,
    );
    const right = new Side(
      run,
      rights,
      columns.map((key) => key.right),
      nullsLast.right,
    );
    const most = Math.max(1, Math.min(batchRows, enough ?? batchRows));
    const merge = new Merge(run, { shape, columns, left, right, most });
    try {
      yield* merge.rows();
    } finally {
      await merge.close();
      await lefts.return();
      await rights.return();
    }
  }
}

/** One input, row by row, with its keys. */
class Side {
  /** Undefined: there are no more. */
  row: Row | undefined;
  /** By column of the keys, then by row of the batch. */
  private readonly keys: Datum[][];
  private readonly run: Run;
  private readonly batches: Batches;
  private readonly evaluators: readonly Evaluator[];
  private readonly nullsLast: boolean;
  private batch: readonly Row[] = [];
  private at = -1;

  constructor(run: Run, batches: Batches, evaluators: readonly Evaluator[], nullsLast: boolean) {
    this.run = run;
    this.batches = batches;
    this.evaluators = evaluators;
    this.nullsLast = nullsLast;
    this.keys = evaluators.map(() => []);
  }

  key(column: number): Datum {
    return this.keys[column]?.[this.at] ?? null;
  }

  hasNull(): boolean {
    for (let i = 0; i < this.keys.length; i++) if (this.key(i) === null) return true;
    return false;
  }

  /** All that is left has a NULL in its key. */
  get isOver(): boolean {
    return this.nullsLast && this.key(0) === null;
  }

  /** To the next row of the batch. @returns false: `fill` has to be called */
  step(): boolean {
    this.at++;
    this.row = this.batch[this.at];
    return this.row !== undefined;
  }

  /** To the first row of the next batch, if there is one. */
  async fill(): Promise<void> {
    for (;;) {
      this.run.pace.check();
      const next = await this.batches.next();
      if (next.done === true) {
        this.row = undefined;
        return;
      }
      if (next.value.length === 0) continue;
      await this.take(next.value);
      return;
    }
  }

  private async take(batch: readonly Row[]): Promise<void> {
    const { evaluators, keys, run } = this;
    await forEachRow(run, batch, (row, i) => {
      for (let k = 0; k < evaluators.length; k++) {
        const column = keys[k];
        if (column !== undefined) column[i] = evaluators[k]?.(row, run.evaluation) ?? null;
      }
    });
    this.batch = batch;
    this.at = 0;
    this.row = batch[0];
  }

  end(): void {
    this.row = undefined;
    this.batch = [];
  }
}

/** One run. */
class Merge {
  private readonly run: Run;
  private readonly shape: JoinShape;
  private readonly columns: readonly MergeKey[];
  private readonly left: Side;
  private readonly right: Side;
  private readonly most: number;
  private readonly group: KeyGroup;
  private readonly groupKey: Datum[] = [];
  private readonly keepsLeft: boolean;
  private readonly keepsRight: boolean;
  private out: Row[] = [];
  private steps = 0;

  constructor(
    run: Run,
    options: {
      readonly shape: JoinShape;
      readonly columns: readonly MergeKey[];
      readonly left: Side;
      readonly right: Side;
      /** Rows that are handed on at once. */
      readonly most: number;
    },
  ) {
    const { type } = options.shape;
    this.run = run;
    this.shape = options.shape;
    this.columns = options.columns;
    this.left = options.left;
    this.right = options.right;
    this.most = options.most;
    this.group = new KeyGroup(run);
    this.keepsLeft = type === 'left' || type === 'full' || type === 'anti';
    this.keepsRight = type === 'right' || type === 'full';
  }

  async close(): Promise<void> {
    await this.group.clear();
  }

  async *rows(): Batches {
    const { left, right, shape } = this;
    const { type, condition } = shape;
    const isSemi = type === 'semi' || type === 'anti';
    await left.fill();
    if (left.row !== undefined || this.keepsRight) await right.fill();
    while (left.row !== undefined && right.row !== undefined) {
      if (this.isDue()) await this.run.pace.rest();
      if (left.hasNull()) {
        if (this.keepsLeft) this.alone(left.row);
        else if (left.isOver) left.end();
        if (left.row !== undefined && !left.step()) await left.fill();
      } else if (right.hasNull()) {
        if (this.keepsRight) this.out.push(joined(shape, undefined, right.row));
        else if (right.isOver) right.end();
        if (right.row !== undefined && !right.step()) await right.fill();
      } else {
        const order = this.compare();
        if (order < 0) {
          if (this.keepsLeft) this.alone(left.row);
          if (!left.step()) await left.fill();
        } else if (order > 0) {
          if (this.keepsRight) this.out.push(joined(shape, undefined, right.row));
          if (!right.step()) await right.fill();
        } else if (isSemi && condition === undefined) {
          // One match is as good as many: the right side stays for the next row.
          if (type === 'semi') this.alone(left.row);
          if (!left.step()) await left.fill();
        } else {
          const gathering = this.gather();
          if (gathering !== undefined) await gathering;
          const { only } = this.group;
          if (only === undefined) yield* this.meet();
          else {
            let found = false;
            do {
              const verdict = this.pair(left.row, only);
              if (verdict instanceof Promise ? await verdict : verdict) found = true;
              if (!left.step()) await left.fill();
              if (this.isDue()) await this.run.pace.rest();
              if (this.out.length >= this.most) yield this.taken();
            } while (left.row !== undefined && this.isLeftInGroup());
            if (!found && this.keepsRight) this.out.push(joined(shape, undefined, only));
          }
          const clearing = this.group.clear();
          if (clearing !== undefined) await clearing;
        }
      }
      if (this.out.length >= this.most) yield this.taken();
    }
    yield* this.rest();
  }

  /** What is left when one side has ended. */
  private async *rest(): Batches {
    const { left, right, shape } = this;
    while (this.keepsLeft && left.row !== undefined) {
      this.alone(left.row);
      if (!left.step()) await left.fill();
      if (this.isDue()) await this.run.pace.rest();
      if (this.out.length >= this.most) yield this.taken();
    }
    while (this.keepsRight && right.row !== undefined) {
      this.out.push(joined(shape, undefined, right.row));
      if (!right.step()) await right.fill();
      if (this.isDue()) await this.run.pace.rest();
      if (this.out.length >= this.most) yield this.taken();
    }
    if (this.out.length > 0) yield this.taken();
  }

  /** The rows of the right with its key; the right side goes on to the next key. */
  private gather(): Promise<void> | undefined {
    const { right, group, columns, groupKey } = this;
    for (let i = 0; i < columns.length; i++) groupKey[i] = right.key(i);
    do {
      if (right.row === undefined) return undefined;
      const isFull = group.add(right.row);
      const isThere = right.step();
      if (isFull || !isThere || this.isDue()) return this.gatherOn();
    } while (this.isRightInGroup());
    return undefined;
  }

  /** The right side is behind the row that was added last. */
  private async gatherOn(): Promise<void> {
    const { right, group } = this;
    for (;;) {
      await group.settle();
      if (right.row === undefined) await right.fill();
      if (this.run.pace.due()) await this.run.pace.rest();
      do {
        if (right.row === undefined || !this.isRightInGroup()) return;
        const isFull = group.add(right.row);
        if (!right.step() || isFull) break;
      } while (!this.isDue());
    }
  }

  /** A row of the left with the one row of the right that has its key. @returns whether they match */
  private pair(row: Row, other: Row): boolean | Promise<boolean> {
    const { shape, run } = this;
    const both = joined(shape, row, other);
    const holds = holdsFor(run, shape.condition, both);
    return holds instanceof Promise
      ? holds.then((one) => this.paired(one, row, both))
      : this.paired(holds, row, both);
  }

  private paired(holds: boolean, row: Row, both: Row): boolean {
    const { type } = this.shape;
    if (type === 'semi' || type === 'anti') {
      if (holds === (type === 'semi')) this.alone(row);
    } else if (holds) this.out.push(both);
    else if (this.keepsLeft) this.alone(row);
    return holds;
  }

  /** Rows of the left with the key of the group, each with all of its rows. */
  private async *meet(): Batches {
    const { left, shape, group } = this;
    const { condition, type } = shape;
    const isSemi = type === 'semi' || type === 'anti';
    // Without a condition all of them are matched.
    const matched = this.keepsRight && condition !== undefined ? group.flags() : undefined;
    do {
      const row: Row | undefined = left.row;
      if (row === undefined) break;
      let found = false;
      let at = 0;
      search: for (const rows of group.parts())
        for (const other of rows) {
          const place = at++;
          if (this.isDue()) await this.run.pace.rest();
          const both = joined(shape, row, other);
          const holds = holdsFor(this.run, condition, both);
          if (!(holds instanceof Promise ? await holds : holds)) continue;
          found = true;
          if (isSemi) break search;
          if (matched !== undefined) matched[place] = 1;
          this.out.push(both);
          if (this.out.length >= this.most) yield this.taken();
        }
      if (isSemi ? found === (type === 'semi') : !found && this.keepsLeft) this.alone(row);
      if (!left.step()) await left.fill();
      if (this.out.length >= this.most) yield this.taken();
    } while (left.row !== undefined && this.isLeftInGroup());
    if (matched !== undefined) yield* this.unmatched(matched);
  }

  private async *unmatched(matched: Uint8Array): Batches {
    let at = 0;
    for (const rows of this.group.parts())
      for (const row of rows) {
        if (this.isDue()) await this.run.pace.rest();
        if (matched[at++] === 1) continue;
        this.out.push(joined(this.shape, undefined, row));
        if (this.out.length >= this.most) yield this.taken();
      }
  }

  /** A row of the left that goes on without one of the right. */
  private alone(row: Row): void {
    const { shape } = this;
    const { type } = shape;
    this.out.push(
      type === 'semi' || type === 'anti'
        ? shape.left.map((column) => row[column] ?? null)
        : joined(shape, row, undefined),
    );
  }

  private compare(): number {
    const { columns, left, right } = this;
    for (let i = 0; i < columns.length; i++) {
      const order = columns[i]?.compare(left.key(i), right.key(i)) ?? 0;
      if (order !== 0) return order;
    }
    return 0;
  }

  private isLeftInGroup(): boolean {
    return this.columns.every(({ compare }, i) => {
      const value = this.left.key(i);
      return value !== null && compare(value, this.groupKey[i] ?? null) === 0;
    });
  }

  private isRightInGroup(): boolean {
    return this.columns.every(({ compareRight }, i) => {
      const value = this.right.key(i);
      return value !== null && compareRight(value, this.groupKey[i] ?? null) === 0;
    });
  }

  private isDue(): boolean {
    return (++this.steps & 127) === 0 && this.run.pace.due();
  }

  private taken(): Row[] {
    const { out } = this;
    this.out = [];
    return out;
  }
}
