/** What statements that write have in common as parts of a plan: their WITH, their RETURNING, their rows as operators. */
import { openCtes, type PlannedCte } from './cte.ts';
import type { Evaluator, Row } from './evaluate.ts';
import { type Batches, evaluateOnce, inBatches, type NodeText, type Operator } from './operator.ts';
import { type Run, rowBytes } from './run.ts';
import type { WriteSet } from './write-set.ts';

export interface Written {
  readonly count: number;
  readonly returned: readonly Row[];
}

/** A statement that writes, as part of a plan. */
export interface WriteNode {
  readonly inputs: readonly Operator[];
  readonly ctes: readonly PlannedCte[];
  readonly text: (() => NodeText) | undefined;
  run(run: Run): Promise<Written>;
}

export function writesOf(run: Run): WriteSet {
  if (run.writes === undefined) throw new RangeError('a statement that writes has a write set');
  return run.writes;
}

/** Rows of RETURNING. */
export class Returned {
  readonly rows: Row[] = [];
  private readonly outputs: readonly Evaluator[] | undefined;
  private readonly run: Run;

  constructor(outputs: readonly Evaluator[] | undefined, run: Run) {
    this.outputs = outputs;
    this.run = run;
  }

  async add(row: Row): Promise<void> {
    const { outputs, run } = this;
    if (outputs === undefined) return;
    const output = await evaluateOnce(run, () =>
      outputs.map((evaluate) => evaluate(row, run.evaluation)),
    );
    writesOf(run).memory.add(rowBytes(output));
    this.rows.push(output);
  }
}

/** A data-modifying query of WITH, whose rows are those of its RETURNING. */
export class WriteOperator implements Operator {
  readonly inputs: readonly Operator[];
  readonly text: (() => NodeText) | undefined;
  private readonly node: WriteNode;

  constructor(node: WriteNode) {
    this.node = node;
    this.inputs = node.inputs;
    this.text = node.text;
  }

  async *open(run: Run): Batches {
    const { returned } = await this.node.run(run);
    yield* inBatches(run, returned);
  }
}

/** SELECT over a WITH that writes. */
export class SelectNode implements WriteNode {
  readonly inputs: readonly Operator[];
  readonly ctes: readonly PlannedCte[] = [];
  readonly text = undefined;
  private readonly operator: Operator;

  constructor(operator: Operator) {
    this.operator = operator;
    this.inputs = [operator];
  }

  async run(run: Run): Promise<Written> {
    const returned: Row[] = [];
    for await (const batch of this.operator.open(run)) {
      run.pace.check();
      writesOf(run).memory.add(batch.reduce((sum, row) => sum + rowBytes(row), 0));
      returned.push(...batch);
    }
    return { count: returned.length, returned };
  }
}

export interface NodeOptions {
  readonly ctes: readonly PlannedCte[];
  readonly returning: readonly Evaluator[] | undefined;
  readonly text: () => NodeText;
}

export abstract class WritingNode<Options extends NodeOptions> implements WriteNode {
  readonly inputs: readonly Operator[];
  readonly ctes: readonly PlannedCte[];
  readonly text: () => NodeText;
  protected readonly options: Options;
  protected readonly returning: readonly Evaluator[] | undefined;

  /** @param inputs what it reads its rows from, if it reads any */
  constructor(options: Options, inputs: readonly Operator[]) {
    this.inputs = inputs;
    this.options = options;
    this.ctes = options.ctes;
    this.text = options.text;
    this.returning = options.returning;
  }

  async run(run: Run): Promise<Written> {
    if (this.ctes.length === 0) return this.write(run);
    const ctes = await openCtes(this.ctes, run);
    try {
      return await this.write({ ...run, ctes });
    } finally {
      await ctes.close();
    }
  }

  protected abstract write(run: Run): Promise<Written>;
}
