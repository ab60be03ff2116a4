/**
 * Plans: what the executor runs. Expressions are closures by now, key predicates are access paths, and it is settled
 * whether rows come sorted from storage. A plan belongs to no session and may run many times at once.
 */
import type { BoundUtility } from '../bind/bound.ts';
import type { AggregateExpression } from '../bind/expression.ts';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import type { Evaluator } from '../execute/evaluate.ts';
import type { ColumnDescription, Notice } from '../session-api.ts';
import type { TableStore } from '../storage/table-store.ts';
import type { SqlType } from '../types/type.ts';
import type { AccessPath } from './access-path.ts';

export interface CompiledBound {
  readonly evaluate: Evaluator;
  readonly inclusive: boolean;
}

export interface TableScan {
  readonly kind: 'table';
  readonly store: TableStore;
  readonly access: AccessPath;
  readonly points: boolean;
  readonly equals: readonly (readonly Evaluator[])[];
  readonly lower: CompiledBound | undefined;
  readonly upper: CompiledBound | undefined;
  /** By offset into the table's columns: which ones anything above reads. */
  readonly needed: readonly boolean[];
  readonly reverse: boolean;
}

export type Source =
  | { readonly kind: 'none' }
  | TableScan
  | { readonly kind: 'values'; readonly rows: readonly (readonly Evaluator[])[] }
  | { readonly kind: 'series'; readonly type: SqlType; readonly arguments: readonly Evaluator[] };

export interface GroupingPlan {
  readonly keys: readonly Evaluator[];
  readonly keyTypes: readonly SqlType[];
  readonly aggregates: readonly {
    readonly expression: AggregateExpression;
    readonly argument: Evaluator | undefined;
  }[];
  readonly having: Evaluator | undefined;
}

export interface SortColumn {
  readonly output: number;
  readonly type: SqlType;
  readonly descending: boolean;
  readonly nullsFirst: boolean;
}

export interface SelectPlan {
  readonly kind: 'select';
  readonly source: Source;
  readonly filter: Evaluator | undefined;
  readonly grouping: GroupingPlan | undefined;
  readonly outputs: readonly Evaluator[];
  readonly outputTypes: readonly SqlType[];
  /** Outputs beyond these only sort. */
  readonly visible: number;
  readonly distinct: boolean;
  /** Empty where storage already has the order. */
  readonly sort: readonly SortColumn[];
  readonly limit: Evaluator | undefined;
  readonly offset: Evaluator | undefined;
  /** One row at most, by its whole key, no more to do than to look and project. */
  readonly isPointLookup: boolean;
  /** For EXPLAIN; made only when asked for. */
  lines(): readonly string[];
}

export interface ReturningPlan {
  readonly outputs: readonly Evaluator[];
}

export interface InsertPlan {
  readonly kind: 'insert';
  readonly store: TableStore;
  readonly targets: readonly number[];
  readonly source:
    | { readonly kind: 'values'; readonly rows: readonly (readonly (Evaluator | undefined)[])[] }
    | { readonly kind: 'select'; readonly select: SelectPlan };
  readonly defaults: readonly (Evaluator | undefined)[];
  readonly returning: ReturningPlan | undefined;
  lines(): readonly string[];
}

export interface UpdatePlan {
  readonly kind: 'update';
  readonly scan: TableScan;
  readonly filter: Evaluator | undefined;
  readonly assignments: readonly {
    readonly column: number;
    readonly value: Evaluator | undefined;
  }[];
  readonly changesKey: boolean;
  readonly returning: ReturningPlan | undefined;
  lines(): readonly string[];
}

export interface DeletePlan {
  readonly kind: 'delete';
  readonly scan: TableScan;
  readonly filter: Evaluator | undefined;
  readonly returning: ReturningPlan | undefined;
  lines(): readonly string[];
}

export interface ExplainPlan {
  readonly kind: 'explain';
  readonly lines: readonly string[];
}

export type Plan = SelectPlan | InsertPlan | UpdatePlan | DeletePlan | ExplainPlan | BoundUtility;

/** A plan with what it rests on. */
export interface PreparedPlan {
  readonly plan: Plan;
  readonly parameterTypes: readonly number[];
  readonly columns: readonly ColumnDescription[] | undefined;
  readonly tables: readonly TableDescriptor[];
  readonly notices: readonly Notice[];
  /** The catalog version for which `tables` are known to be what their names mean. Moves up as that is confirmed. */
  catalogVersion: number;
  /** False: the plan holds a value that only this preparation may use. */
  readonly shareable: boolean;
}
