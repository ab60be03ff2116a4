/** What the session hands out for a statement that was prepared, and what can be said of it from its plan alone. */
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import { ddlTag } from '../ddl/ddl-tag.ts';
import type { Statement } from '../parse/parser.ts';
import type { PreparedPlan } from '../plan/plan.ts';
import type { ColumnDescription, Oid, PreparedStatement } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { type SqlType, typeByOid } from '../types/type.ts';

/** What `prepare` hands out. Its plan is replaced when the catalog changes. */
export class Preparation implements PreparedStatement {
  readonly statement: Statement;
  readonly declared: readonly Oid[];
  readonly parameterTypes: readonly Oid[];
  readonly columns: readonly ColumnDescription[] | undefined;
  readonly types: readonly SqlType[];
  readonly endsFailure: boolean;
  readonly readOnly: boolean;
  prepared: PreparedPlan;

  constructor(
    statement: Statement,
    declared: readonly Oid[],
    prepared: PreparedPlan,
    endsFailure: boolean,
    catalog: CatalogSnapshot,
  ) {
    this.statement = statement;
    this.endsFailure = endsFailure;
    this.declared = declared;
    this.prepared = prepared;
    this.parameterTypes = prepared.parameterTypes;
    this.columns = prepared.columns;
    this.readOnly = readsOnly(prepared.plan);
    this.types = prepared.parameterTypes.map((oid) => requireType(oid, catalog));
  }
}

/** A type of the system's or of the catalog's. Throws 0A000. */
export function requireType(oid: Oid, catalog: CatalogSnapshot): SqlType {
  const type = typeByOid(oid) ?? catalog.typeByOid(oid);
  if (type?.supported === true) return type;
  throw new SqlError('0A000', `type with oid ${oid} is not supported yet`);
}

/** COMMIT, ROLLBACK, ROLLBACK TO SAVEPOINT. */
export function isFailureEnd({ node: { tree } }: Statement): boolean {
  if (!('TransactionStmt' in tree)) return false;
  const { kind } = tree.TransactionStmt;
  return (
    kind === 'TRANS_STMT_COMMIT' ||
    kind === 'TRANS_STMT_ROLLBACK' ||
    kind === 'TRANS_STMT_ROLLBACK_TO'
  );
}

function readsOnly(plan: PreparedPlan['plan']): boolean {
  if (plan.kind === 'explain') return !plan.options.analyze || readsOnly(plan.inner);
  return plan.kind === 'select' || plan.kind === 'show';
}

/** What a statement that a read-only transaction refuses is called there. */
export function writingCommand(plan: PreparedPlan['plan']): string | undefined {
  switch (plan.kind) {
    case 'write':
      return plan.tag === 'INSERT 0' ? 'INSERT' : plan.tag;
    case 'select':
      return plan.locks === undefined ? undefined : `SELECT ${plan.locks}`;
    case 'ddl':
      return ddlTag(plan.tree);
    case 'explain':
      return plan.options.analyze ? writingCommand(plan.inner) : undefined;
    default:
      return undefined;
  }
}

/** To tell whether two plans have the same columns for their client. */
export function shape(columns: readonly ColumnDescription[] | undefined): string {
  return (columns ?? [])
    .map((column) => `${column.name}\0${column.typeOid}\0${column.typeModifier}`)
    .join('\0\0');
}
