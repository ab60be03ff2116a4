/**
 * Plans: what the executor runs. A query is a tree of physical operators, a write is a node over one; statements about one
 * row named by its whole key go beside the tree. A plan belongs to no session and may run many times at once.
 */
import type { BoundUtility } from '../bind/bound.ts';
import type { LockStrength } from '../bind/relation.ts';
import type { CatalogDependent } from '../catalog/catalog.ts';
import type { TableStatistics } from '../catalog/statistics.ts';
import type { Evaluator } from '../execute/evaluate.ts';
import type { RowLock } from '../execute/lock-rows.ts';
import type { Operator } from '../execute/operator.ts';
import type { Recorder } from '../execute/recorder.ts';
import type { WriteNode } from '../execute/write-node.ts';
import type { Need, Refusal } from '../roles/access.ts';
import type { ColumnDescription, Notice } from '../session-api.ts';
import type { IndexStore } from '../storage/index-store.ts';
import type { TableStore } from '../storage/table-store.ts';
import type { SqlType } from '../types/type.ts';
import type { AccessPath, KeyPart } from './access-path.ts';
import type { IndexUse } from './compile.ts';
import type { ExplainNode, ExplainOptions } from './explain-node.ts';
import type { RowProgram } from './push-row.ts';

export interface CompiledBound {
  readonly evaluate: Evaluator;
  readonly inclusive: boolean;
}

/** Values of one column of a key: these, the elements of an array, or NULL. */
export type CompiledValues =
  | { readonly kind: 'values'; readonly values: readonly Evaluator[] }
  | { readonly kind: 'array'; readonly array: Evaluator }
  | { readonly kind: 'null' };

/** The secondary index that a scan reads. */
export interface IndexScan {
  readonly store: IndexStore;
  /** The values of all of its columns name one entry at most. */
  readonly single: boolean;
  /** The entries hold all that is needed: rows are not read. */
  readonly covering: boolean;
  /** By offset into the table's columns: what entries hold. */
  readonly holds: readonly boolean[];
}

export interface TableScan {
  readonly store: TableStore;
  /** Of the key that the access is about. */
  readonly parts: readonly KeyPart[];
  readonly access: AccessPath;
  /** The values name rows by their own keys. */
  readonly points: boolean;
  /** Undefined: rows are read in the order of their own keys. */
  readonly index: IndexScan | undefined;
  readonly equals: readonly CompiledValues[];
  readonly lower: CompiledBound | undefined;
  readonly upper: CompiledBound | undefined;
  readonly pattern: Evaluator | undefined;
  /** By offset into the table's columns: which ones anything above reads. */
  readonly needed: readonly boolean[];
  readonly reverse: boolean;
  /** A column behind the table's own holds the hidden row id. */
  readonly withRowId: boolean;
}

export interface SortColumn {
  readonly output: number;
  readonly type: SqlType;
  readonly descending: boolean;
  readonly nullsFirst: boolean;
}

/** One row at most, by its whole key, no more to do than to look and project. */
export interface PointLookup {
  readonly scan: TableScan;
  readonly outputs: readonly Evaluator[];
  /** Undefined: it is not locked. */
  readonly lock: RowLock | undefined;
}

export interface SelectPlan {
  readonly kind: 'select';
  readonly root: Operator;
  readonly lookup: PointLookup | undefined;
  /** Undefined: it locks no rows. */
  readonly locks: LockStrength | undefined;
  /** For EXPLAIN; made only when asked for. @param recorder of a run that it shows */
  explain(recorder?: Recorder): ExplainNode;
  /** Lets runs be recorded. */
  instrument(): void;
}

/** A statement that writes, in itself or in its WITH. */
export interface WritePlan {
  readonly kind: 'write';
  /** What the command tag says before the count. */
  readonly tag: 'INSERT 0' | 'UPDATE' | 'DELETE' | 'MERGE' | 'SELECT';
  readonly root: WriteNode;
  /** Undefined: its rows have to be read before they are written. */
  readonly rowProgram: RowProgram | undefined;
  /** @param count of the rows that the run has written */
  explain(recorder?: Recorder, count?: number): ExplainNode;
  instrument(): void;
}

export interface ExplainPlan {
  readonly kind: 'explain';
  readonly options: ExplainOptions;
  readonly inner: SelectPlan | WritePlan;
}

export type Plan = SelectPlan | WritePlan | ExplainPlan | BoundUtility;

/** A plan with what it rests on. */
export interface PreparedPlan extends CatalogDependent {
  readonly plan: Plan;
  readonly parameterTypes: readonly number[];
  readonly columns: readonly ColumnDescription[] | undefined;
  readonly notices: readonly Notice[];
  /** What whoever runs it must be allowed. */
  readonly needs: readonly Need[];
  /** Why it cannot be run by anybody. Undefined: it can. */
  readonly refusal: Refusal | undefined;
  /** Secondary indexes that it reads. */
  readonly indexes: readonly IndexUse[];
  /** What it was planned by, by table; undefined: nothing was known. */
  readonly statistics: ReadonlyMap<number, TableStatistics | undefined>;
  /** False: the plan holds a value that only this preparation may use. */
  readonly shareable: boolean;
}
