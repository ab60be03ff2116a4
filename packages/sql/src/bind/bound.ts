/** Bound statements: names and types resolved, nothing decided yet about how they run. The planner's input. */
import type { Node } from 'libpg-query';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import type { ExplainOptions } from '../plan/explain-node.ts';
import type { Oid } from '../session-api.ts';
import type { SqlType } from '../types/type.ts';
import type { Expression } from './expression.ts';
import type { Cte, FromTree, Relation } from './relation.ts';
import type { QueryColumn } from './scope.ts';

export interface BoundSelect {
  readonly kind: 'select';
  readonly relation: Relation;
  readonly columns: readonly QueryColumn[];
}

/** Over the row of the written table, followed by those of the other items of FROM or USING. */
export interface BoundReturning {
  readonly outputs: readonly Expression[];
  readonly columns: readonly QueryColumn[];
}

interface WriteBase {
  readonly table: TableDescriptor;
  readonly alias: string;
  /** Named queries of the statement's own WITH. */
  readonly ctes: readonly Cte[];
  readonly returning: BoundReturning | undefined;
}

/** `value` undefined: NULL, or the default where there is one. */
export interface Assignment {
  readonly column: number;
  readonly value: Expression | undefined;
}

export interface BoundInsert extends WriteBase {
  readonly kind: 'insert';
  /** Offsets into the table's columns that the source's columns fill, in order. */
  readonly targets: readonly number[];
  /** Rows of expressions, undefined = DEFAULT; or a query. */
  readonly source:
    | { readonly kind: 'values'; readonly rows: readonly (readonly (Expression | undefined)[])[] }
    | { readonly kind: 'query'; readonly relation: Relation };
  /** For every column of the table; undefined = NULL. */
  readonly defaults: readonly (Expression | undefined)[];
  readonly conflict: BoundConflict | undefined;
}

/**
 * ON CONFLICT. Expressions are over the row that is there, followed by `excluded`. `on`: the oids of the unique indexes that
 * are looked at, the primary key's among them; undefined = all of them.
 */
export type BoundConflict =
  | { readonly kind: 'nothing'; readonly on: readonly number[] | undefined }
  | {
      readonly kind: 'update';
      readonly on: readonly number[];
      readonly assignments: readonly Assignment[];
      readonly where: Expression | undefined;
    };

interface TargetedWrite extends WriteBase {
  /** The written table first, at offset 0. */
  readonly tree: FromTree;
  readonly types: readonly SqlType[];
  readonly where: Expression | undefined;
}

export interface BoundUpdate extends TargetedWrite {
  readonly kind: 'update';
  readonly assignments: readonly Assignment[];
}

export interface BoundDelete extends TargetedWrite {
  readonly kind: 'delete';
}

export interface BoundMerge extends TargetedWrite {
  readonly kind: 'merge';
  readonly actions: readonly MergeAction[];
  readonly defaults: readonly (Expression | undefined)[];
}

/** WHEN [NOT] MATCHED [AND condition] THEN …; the first that fits is taken. */
export interface MergeAction {
  readonly matched: boolean;
  readonly condition: Expression | undefined;
  readonly action:
    | { readonly kind: 'nothing' | 'delete' }
    | { readonly kind: 'update'; readonly assignments: readonly Assignment[] }
    | {
        readonly kind: 'insert';
        readonly targets: readonly number[];
        readonly values: readonly (Expression | undefined)[];
      };
}

export type BoundWrite = BoundInsert | BoundUpdate | BoundDelete | BoundMerge;

/** What BEGIN and SET TRANSACTION say; absent where they say nothing. */
export interface TransactionModes {
  /** As the settings spell it: `repeatable read`. */
  readonly isolation?: string;
  readonly readOnly?: boolean;
  readonly deferrable?: boolean;
}

/** The name of a constraint as it was written. */
export interface WrittenConstraint {
  readonly database: string | undefined;
  readonly schema: string | undefined;
  readonly name: string;
}

export type BoundUtility =
  /** Bound when it runs: ddl/run-ddl.ts. */
  | { readonly kind: 'ddl'; readonly tree: Node }
  | {
      readonly kind: 'set';
      readonly name: string;
      readonly value: string | undefined;
      readonly local: boolean;
      readonly reset: boolean;
    }
  | {
      readonly kind: 'begin';
      readonly tag: 'BEGIN' | 'START TRANSACTION';
      readonly modes: TransactionModes;
    }
  | { readonly kind: 'commit' | 'rollback'; readonly chain: boolean }
  | { readonly kind: 'savepoint' | 'release' | 'rollback-to'; readonly name: string }
  | {
      readonly kind: 'set-transaction' | 'set-characteristics';
      readonly modes: TransactionModes;
    }
  /** Undefined: all. */
  | {
      readonly kind: 'set-constraints';
      readonly names: readonly WrittenConstraint[] | undefined;
      readonly deferred: boolean;
    }
  | { readonly kind: 'reset-all' }
  | { readonly kind: 'listen'; readonly channel: string }
  /** Undefined: all. */
  | { readonly kind: 'unlisten'; readonly channel: string | undefined }
  | { readonly kind: 'notify'; readonly channel: string; readonly payload: string }
  | { readonly kind: 'show'; readonly name: string }
  | { readonly kind: 'discard'; readonly what: 'ALL' | 'PLANS' | 'TEMP' }
  /** `query` is bound when it runs. */
  | {
      readonly kind: 'prepare';
      readonly name: string;
      readonly types: readonly Oid[];
      readonly query: Node;
    }
  /** Undefined: all. */
  | { readonly kind: 'deallocate'; readonly name: string | undefined }
  /** VACUUM, ANALYZE. Undefined: all tables; none where there is nothing to find out. */
  | {
      readonly kind: 'analyze';
      readonly tag: 'VACUUM' | 'ANALYZE';
      readonly tables: readonly TableDescriptor[] | undefined;
    };

export interface BoundExplain {
  readonly kind: 'explain';
  readonly options: ExplainOptions;
  readonly statement: BoundSelect | BoundWrite;
}

export type BoundStatement = BoundSelect | BoundWrite | BoundExplain | BoundUtility;
