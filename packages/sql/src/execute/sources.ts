/** Operators without inputs: tables, VALUES, generate_series, and the one row of a query without FROM. */

import type { VirtualSource, VirtualTable } from '../catalog/virtual/virtual-table.ts';
import type { SessionFacts } from '../cluster/session-facts.ts';
import { catalogOf } from '../functions/sequences.ts';
import type { SetSignature } from '../functions/set-returning.ts';
import type { EvalContext } from '../functions/signature.ts';
import { batchRows } from '../limits.ts';
import type { TableScan } from '../plan/plan.ts';
import type { Authority } from '../roles/authority.ts';
import { settingFacts, settingNames } from '../settings.ts';
import type { SqlType } from '../types/type.ts';
import type { Evaluator, Row } from './evaluate.ts';
import { type IndexJoin, openIndexJoin } from './index-join.ts';
import {
  type Batches,
  evaluateOnce,
  forEachRow,
  type NodeText,
  type Operator,
} from './operator.ts';
import { openPushed, type PushedProgram } from './push/pushed-scan.ts';
import type { ProgramResult } from './push/result.ts';
import type { Run } from './run.ts';
import { scanTable } from './scan.ts';

const none: readonly Operator[] = [];

export class OneRowOperator implements Operator {
  readonly inputs: readonly Operator[] = none;
  readonly text = (): NodeText => ({ head: 'Result', details: [] });

  async *open(): Batches {
    yield [[]];
  }
}

export class ScanOperator implements Operator {
  readonly inputs: readonly Operator[] = none;
  readonly text: () => NodeText;
  readonly scan: TableScan;
  private readonly filter: Evaluator | undefined;
  /** Undefined: rows are read as they are. */
  readonly pushed: PushedSource | JoinedSource | undefined;
  /** As `pushed`, with a place for a filter of keys. Set when the scan is joined. */
  probed: PushedSource | JoinedSource | undefined;

  constructor(
    scan: TableScan,
    filter: Evaluator | undefined,
    text: () => NodeText,
    pushed?: PushedSource | JoinedSource,
  ) {
    this.scan = scan;
    this.filter = filter;
    this.text = text;
    this.pushed = pushed;
  }

  async *open(
    run: Run,
    enough?: number,
    keys?: Uint8Array,
    expected: number | undefined = enough,
  ): Batches {
    const { scan, filter } = this;
    if (enough !== undefined && enough <= 0) return;
    const probes = keys !== undefined && this.probed !== undefined;
    const pushed = probes ? this.probed : this.pushed;
    if (pushed !== undefined && 'join' in pushed) {
      yield* this.joined(run, pushed, enough, probes ? keys : undefined);
      return;
    }
    const results =
      pushed === undefined
        ? undefined
        : await openPushed(pushed.program, run, {
            limit: pushed.rest === undefined ? enough : undefined,
            inTurn: expected !== undefined,
            keys: probes ? keys : undefined,
          });
    if (results !== undefined) {
      yield* this.evaluated(run, results, pushed?.rest);
      return;
    }
    for await (const batch of scanTable(scan, run, {
      limit: filter === undefined ? enough : undefined,
      expected,
    })) {
      let rows: Row[] = [...batch.rows];
      if (filter !== undefined) rows = await filterRows(run, rows, filter);
      else if (run.pace.due()) await run.pace.rest();
      if (rows.length > 0) yield rows;
    }
  }

  private async *joined(
    run: Run,
    { join, rest }: JoinedSource,
    enough: number | undefined,
    filterOfKeys: Uint8Array | undefined,
  ): Batches {
    const { filter } = this;
    const batches = openIndexJoin(join, run, {
      limit: filter === undefined && filterOfKeys === undefined ? enough : undefined,
      expected: enough,
      filterOfKeys,
    });
    for await (const { rows, evaluated, error } of batches) {
      const asked = evaluated ? rest : filter;
      const kept = asked === undefined ? [...rows] : await filterRows(run, rows, asked);
      for (let at = 0; at < kept.length; at += batchRows)
        yield kept.length <= batchRows ? kept : kept.slice(at, at + batchRows);
      if (error !== undefined) throw error;
    }
  }

  private async *evaluated(
    run: Run,
    results: AsyncIterable<ProgramResult>,
    rest: Evaluator | undefined,
  ): Batches {
    for await (const { rows, error } of results) {
      for (let at = 0; at < rows.length; at += batchRows) {
        const part = rows.length <= batchRows ? rows : rows.slice(at, at + batchRows);
        const kept = rest === undefined ? part : await filterRows(run, part, rest);
        if (kept.length > 0) yield kept;
        if (run.pace.due()) await run.pace.rest();
      }
      if (error !== undefined) throw error;
    }
  }
}

/** As `PushedSource`, of a scan by an index whose entries do not hold all that is needed. */
export interface JoinedSource {
  readonly join: IndexJoin;
  /** Of rows that were evaluated. */
  readonly rest: Evaluator | undefined;
}

/** What of a scan stores evaluate, and what is left to ask of the rows that come back. */
export interface PushedSource {
  readonly program: PushedProgram;
  readonly rest: Evaluator | undefined;
}

export async function filterRows(
  run: Run,
  rows: readonly Row[],
  filter: Evaluator,
): Promise<Row[]> {
  const kept: Row[] = [];
  await forEachRow(run, rows, (row) => {
    if (filter(row, run.evaluation) === true) kept.push(row);
  });
  if (run.pace.due()) await run.pace.rest();
  return kept;
}

export class ValuesOperator implements Operator {
  readonly inputs: readonly Operator[] = none;
  readonly text: () => NodeText;
  private readonly rows: readonly (readonly Evaluator[])[];

  constructor(rows: readonly (readonly Evaluator[])[], text: () => NodeText) {
    this.rows = rows;
    this.text = text;
  }

  async *open(run: Run): Batches {
    for (let at = 0; at < this.rows.length; at += batchRows) {
      const batch: Row[] = [];
      for (const row of this.rows.slice(at, at + batchRows))
        batch.push(
          await evaluateOnce(run, () => row.map((evaluate) => evaluate([], run.evaluation))),
        );
      if (run.pace.due()) await run.pace.rest();
      yield batch;
    }
  }
}

/** What others run is not everybody's business. */
function* visibleSessions(
  sessions: Iterable<SessionFacts>,
  authority: Authority,
): Iterable<SessionFacts> {
  for (const session of sessions)
    yield authority.has(session.user)
      ? session
      : { ...session, statement: '<insufficient privilege>' };
}

function virtualSource(evaluation: EvalContext): VirtualSource {
  const { names, sequences, backend, authority } = catalogOf(evaluation);
  return {
    snapshot: names.snapshot,
    names,
    user: evaluation.user,
    database: evaluation.database,
    setting: (name) => evaluation.setting(name),
    settings: () =>
      settingNames().map((name) => ({
        name,
        value: evaluation.setting(name) ?? '',
        ...settingFacts(name),
      })),
    cluster: backend.cluster,
    sessions: async () => visibleSessions(await backend.sessions(), authority),
    advisoryLocks: () => backend.advisoryLocks(),
    droppedStorage: () => backend.droppedStorage(),
    cursors: () => backend.cursors(),
    statements: () => backend.statements(),
    text: evaluation,
    sequenceState: (sequence) => sequences.state(sequence),
  };
}

/** A system table: its rows are computed as they are read. */
export class VirtualScanOperator implements Operator {
  readonly inputs: readonly Operator[] = none;
  readonly text: () => NodeText;
  private readonly table: VirtualTable;

  constructor(table: VirtualTable, text: () => NodeText) {
    this.table = table;
    this.text = text;
  }

  async *open(run: Run): Batches {
    const { evaluation } = run;
    const { columns } = this.table;
    let batch: Row[] = [];
    for await (const row of this.table.rows(virtualSource(evaluation))) {
      batch.push(columns.map((_column, i) => row[i] ?? null));
      if (batch.length < batchRows) continue;
      run.pace.check();
      if (run.pace.due()) await run.pace.rest();
      yield batch;
      batch = [];
    }
    if (batch.length > 0) yield batch;
  }
}

/** A set-returning function. */
export class FunctionOperator implements Operator {
  readonly inputs: readonly Operator[] = none;
  readonly text: () => NodeText;
  private readonly signature: SetSignature;
  private readonly parameters: readonly Evaluator[];
  private readonly types: readonly SqlType[];
  private readonly ordinality: boolean;

  constructor(
    options: {
      readonly signature: SetSignature;
      readonly parameters: readonly Evaluator[];
      /** Of the parameters. */
      readonly types: readonly SqlType[];
      readonly ordinality: boolean;
    },
    text: () => NodeText,
  ) {
    this.signature = options.signature;
    this.parameters = options.parameters;
    this.types = options.types;
    this.ordinality = options.ordinality;
    this.text = text;
  }

  async *open(run: Run, enough?: number): Batches {
    const { signature } = this;
    const values = await evaluateOnce(run, () =>
      this.parameters.map((evaluate) => evaluate([], run.evaluation)),
    );
    if (signature.strict && values.includes(null)) return;
    const most = enough === undefined ? batchRows : Math.max(1, Math.min(batchRows, enough));
    let batch: Row[] = [];
    let ordinal = 0n;
    for (const row of signature.rows(values, run.evaluation, this.types)) {
      batch.push(this.ordinality ? [...row, ++ordinal] : row);
      if (batch.length < most) continue;
      run.pace.check();
      if (run.pace.due()) await run.pace.rest();
      yield batch;
      batch = [];
    }
    if (batch.length > 0) yield batch;
  }
}
