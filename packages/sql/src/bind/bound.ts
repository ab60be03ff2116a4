/** Bound statements: names and types resolved, nothing decided yet about how they run. The planner's input. */
import type { ColumnDefault, TableDescriptor } from '../catalog/descriptor.ts';
import type { ColumnDescription } from '../session-api.ts';
import type { SqlType } from '../types/type.ts';
import type { AggregateExpression, Expression } from './expression.ts';

export type BoundSource =
  /** One row without columns. */
  | { readonly kind: 'none' }
  | { readonly kind: 'table'; readonly table: TableDescriptor; readonly alias: string }
  | { readonly kind: 'values'; readonly rows: readonly (readonly Expression[])[] }
  | { readonly kind: 'series'; readonly type: SqlType; readonly arguments: readonly Expression[] };

export interface BoundGrouping {
  readonly keys: readonly Expression[];
  readonly aggregates: readonly AggregateExpression[];
  /** Over the group's row: keys, then aggregates. */
  readonly having: Expression | undefined;
}

export interface SortKey {
  /** Offset into `outputs`. */
  readonly output: number;
  readonly descending: boolean;
  readonly nullsFirst: boolean;
}

export interface BoundSelect {
  readonly kind: 'select';
  readonly source: BoundSource;
  readonly where: Expression | undefined;
  readonly grouping: BoundGrouping | undefined;
  /** Over the source's row, or the group's. The first `columns.length` are shown; the rest are sorted by. */
  readonly outputs: readonly Expression[];
  readonly columns: readonly ColumnDescription[];
  readonly distinct: boolean;
  readonly order: readonly SortKey[];
  readonly limit: Expression | undefined;
  readonly offset: Expression | undefined;
}

export interface BoundReturning {
  readonly outputs: readonly Expression[];
  readonly columns: readonly ColumnDescription[];
}

export interface BoundInsert {
  readonly kind: 'insert';
  readonly table: TableDescriptor;
  /** Offsets into the table's columns that the source's columns fill, in order. */
  readonly targets: readonly number[];
  /** Rows of expressions, undefined = DEFAULT; or a query; or nothing but defaults. */
  readonly source:
    | { readonly kind: 'values'; readonly rows: readonly (readonly (Expression | undefined)[])[] }
    | { readonly kind: 'select'; readonly select: BoundSelect };
  /** For every column of the table; undefined = NULL. */
  readonly defaults: readonly (Expression | undefined)[];
  readonly returning: BoundReturning | undefined;
}

export interface BoundUpdate {
  readonly kind: 'update';
  readonly table: TableDescriptor;
  readonly alias: string;
  readonly assignments: readonly {
    readonly column: number;
    readonly value: Expression | undefined;
  }[];
  readonly where: Expression | undefined;
  readonly returning: BoundReturning | undefined;
}

export interface BoundDelete {
  readonly kind: 'delete';
  readonly table: TableDescriptor;
  readonly alias: string;
  readonly where: Expression | undefined;
  readonly returning: BoundReturning | undefined;
}

/** A table as CREATE TABLE describes it, before it has an id. */
export interface TableDefinition {
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly {
    readonly name: string;
    readonly type: SqlType;
    readonly modifier: number;
    readonly notNull: boolean;
    readonly default: ColumnDefault | undefined;
  }[];
  readonly primaryKey:
    | { readonly constraint: string; readonly columns: readonly number[] }
    | undefined;
}

export interface TableName {
  readonly schema: string;
  readonly name: string;
}

export type BoundUtility =
  | {
      readonly kind: 'create-table';
      readonly definition: TableDefinition;
      readonly ifNotExists: boolean;
    }
  | {
      readonly kind: 'drop-table';
      readonly tables: readonly TableName[];
      readonly ifExists: boolean;
    }
  | { readonly kind: 'truncate'; readonly tables: readonly TableDescriptor[] }
  | {
      readonly kind: 'set';
      readonly name: string;
      readonly value: string | undefined;
      readonly local: boolean;
      readonly reset: boolean;
    }
  | { readonly kind: 'set-transaction' }
  | { readonly kind: 'reset-all' }
  | { readonly kind: 'show'; readonly name: string }
  | { readonly kind: 'discard' }
  | { readonly kind: 'no-transaction'; readonly tag: 'COMMIT' | 'ROLLBACK' }
  | { readonly kind: 'no-op'; readonly tag: string };

export interface BoundExplain {
  readonly kind: 'explain';
  readonly statement: BoundSelect | BoundInsert | BoundUpdate | BoundDelete;
}

export type BoundStatement =
  | BoundSelect
  | BoundInsert
  | BoundUpdate
  | BoundDelete
  | BoundExplain
  | BoundUtility;
