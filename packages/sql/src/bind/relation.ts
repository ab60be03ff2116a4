/**
 * Logical plans: the relational operators that a query means, as a tree. Made by the binder; nothing is decided yet about
 * how they run. A row of an operator is as wide as its `types`; expressions of an operator refer to its input's row by
 * offset, those of a `from` to the concatenation of all its items' rows. Immutable.
 */
import type { TableDescriptor } from '../catalog/descriptor.ts';
import type { VirtualTable } from '../catalog/virtual/virtual-table.ts';
import type { SetSignature } from '../functions/set-returning.ts';
import type { LockMode, LockWait } from '../kv-transaction.ts';
import type { SqlType } from '../types/type.ts';
import type { BoundWrite } from './bound.ts';
import type { AggregateExpression, Expression, WindowExpression } from './expression.ts';

interface Typed {
  readonly types: readonly SqlType[];
}

/** One row without columns. */
export interface OneRow extends Typed {
  readonly kind: 'one-row';
}

/** FROM and WHERE: items joined, then filtered. */
export interface From extends Typed {
  readonly kind: 'from';
  readonly tree: FromTree;
  readonly where: Expression | undefined;
}

export type JoinType = 'inner' | 'left' | 'right' | 'full';

export type FromTree =
  | {
      readonly kind: 'item';
      readonly source: Source;
      /** The item's first column in the row of all items. */
      readonly offset: number;
      readonly alias: string;
      /** Values of rows of other items that the source sees as its arguments: LATERAL. */
      readonly arguments: readonly Expression[];
    }
  | {
      readonly kind: 'join';
      readonly type: JoinType;
      readonly left: FromTree;
      readonly right: FromTree;
      readonly condition: Expression | undefined;
    };

export type Source = TableSource | VirtualSourceTable | FunctionSource | Relation;

export interface TableSource extends Typed {
  readonly kind: 'table';
  readonly table: TableDescriptor;
  /** A column behind the table's own holds the hidden row id. */
  readonly withRowId: boolean;
}

/** A system table. */
export interface VirtualSourceTable extends Typed {
  readonly kind: 'virtual';
  readonly table: VirtualTable;
}

/** A set-returning function. WITH ORDINALITY appends a column. */
export interface FunctionSource extends Typed {
  readonly kind: 'function';
  readonly signature: SetSignature;
  readonly name: string;
  readonly arguments: readonly Expression[];
  readonly ordinality: boolean;
}

export interface Values extends Typed {
  readonly kind: 'values';
  readonly rows: readonly (readonly Expression[])[];
}

export interface Filter extends Typed {
  readonly kind: 'filter';
  readonly input: Relation;
  readonly condition: Expression;
}

/** Row: keys, then aggregates, then, where there are several sets, the number of the set. */
export interface Aggregate extends Typed {
  readonly kind: 'aggregate';
  readonly input: Relation;
  readonly keys: readonly Expression[];
  readonly aggregates: readonly AggregateExpression[];
  /** Offsets into `keys`; undefined: one set of all keys. */
  readonly sets: readonly (readonly number[])[] | undefined;
}

/** Row: the input's, then the functions' values. */
export interface Window extends Typed {
  readonly kind: 'window';
  readonly input: Relation;
  readonly functions: readonly WindowExpression[];
}

export interface Project extends Typed {
  readonly kind: 'project';
  readonly input: Relation;
  readonly outputs: readonly Expression[];
}

/** Row: the input's, then the columns of the functions, row beside row; the shorter ones are NULL at the end. */
export interface ProjectSet extends Typed {
  readonly kind: 'project-set';
  readonly input: Relation;
  readonly sets: readonly {
    readonly signature: SetSignature;
    readonly arguments: readonly Expression[];
    /** Its columns. */
    readonly width: number;
  }[];
  /** A last column counts the rows. */
  readonly ordinality: boolean;
}

export interface Distinct extends Typed {
  readonly kind: 'distinct';
  readonly input: Relation;
  /** DISTINCT ON: the first row for each combination of these columns, in the input's order. */
  readonly on: readonly number[] | undefined;
}

export interface SortKey {
  /** Offset into the row. */
  readonly output: number;
  readonly descending: boolean;
  readonly nullsFirst: boolean;
}

export interface Sort extends Typed {
  readonly kind: 'sort';
  readonly input: Relation;
  readonly keys: readonly SortKey[];
}

export interface Limit extends Typed {
  readonly kind: 'limit';
  readonly input: Relation;
  readonly limit: Expression | undefined;
  readonly offset: Expression | undefined;
  /** FETCH FIRST … WITH TIES: by these keys, by which the input is sorted. */
  readonly ties: readonly SortKey[] | undefined;
}

export type LockStrength = 'FOR KEY SHARE' | 'FOR SHARE' | 'FOR NO KEY UPDATE' | 'FOR UPDATE';

/** Locks the rows of tables that its input's rows were made of. */
export interface Lock extends Typed {
  readonly kind: 'lock';
  readonly input: Relation;
  readonly targets: readonly LockTarget[];
}

export interface LockTarget {
  readonly table: TableDescriptor;
  /** Offsets into the row: of the primary key's columns, or of the hidden row id. */
  readonly columns: readonly number[];
  readonly strength: LockStrength;
  readonly mode: LockMode;
  readonly wait: LockWait;
}

/** The first columns only. */
export interface Narrow extends Typed {
  readonly kind: 'narrow';
  readonly input: Relation;
}

export interface SetOperation extends Typed {
  readonly kind: 'set-operation';
  readonly operation: 'union' | 'intersect' | 'except';
  readonly all: boolean;
  readonly left: Relation;
  readonly right: Relation;
}

/** A named query of WITH. `references` is counted while the statement is bound. */
export interface Cte {
  readonly name: string;
  readonly types: readonly SqlType[];
  /** Set once it is bound: a recursive one is referred to before that. */
  body: CteBody | undefined;
  references: number;
  /** It may be written out where it is used: asked for, or one reference from the query level of its own. */
  inline: boolean;
}

export type CteBody =
  | { readonly kind: 'query'; readonly relation: Relation }
  | {
      readonly kind: 'recursive';
      readonly initial: Relation;
      readonly step: Relation;
      readonly all: boolean;
    }
  | { readonly kind: 'write'; readonly write: BoundWrite };

export interface With extends Typed {
  readonly kind: 'with';
  readonly ctes: readonly Cte[];
  readonly input: Relation;
}

/** Rows of a named query; inside its own recursive term the rows of the last step. */
export interface CteScan extends Typed {
  readonly kind: 'cte';
  readonly cte: Cte;
  readonly working: boolean;
}

export type Relation =
  | OneRow
  | From
  | Values
  | Filter
  | Aggregate
  | Window
  | Project
  | ProjectSet
  | Distinct
  | Sort
  | Limit
  | Lock
  | Narrow
  | SetOperation
  | With
  | CteScan;

export const oneRow: OneRow = { kind: 'one-row', types: [] };
