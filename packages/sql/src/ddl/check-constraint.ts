/** CHECK of a table in the making, and what holds for every CHECK. Called by `table-draft.ts` and `domains.ts`. */
import type { Constraint } from 'libpg-query';
import { refuseOthers } from '../bind/ast.ts';
import { ExpressionBinder } from '../bind/bind-expression.ts';
import type { Expression } from '../bind/expression.ts';
import { markColumns, some } from '../bind/expression-tree.ts';
import { printStored, tableScope } from '../bind/stored-expression.ts';
import type { CheckDescriptor, TableDescriptor } from '../catalog/descriptor.ts';
import { SqlError } from '../sql-error.ts';
import type { DdlContext } from './ddl-context.ts';

/** The table in the making. */
interface Checked {
  readonly context: DdlContext;
  readonly table: TableDescriptor;
  constraintName(given: string | undefined, column: string, label: string): string;
}

/** Throws 42710, 42804, 0A000. */
export async function checkOf(draft: Checked, constraint: Constraint): Promise<CheckDescriptor> {
  const context = draft.context.binder();
  refuseOthers(
    context,
    constraint,
    [
      'contype',
      'conname',
      'raw_expr',
      'location',
      'initially_valid',
      'skip_validation',
      'is_no_inherit',
      'is_enforced',
    ],
    {},
    constraint.location,
  );
  const bound = new ExpressionBinder(context, tableScope(draft.table), 'CHECK').bindBoolean(
    constraint.raw_expr,
    'CHECK',
  );
  refuseQueries(bound);
  const used: boolean[] = [];
  markColumns(bound, used);
  const [only, second] = Object.keys(used).map(Number);
  const column = only !== undefined && second === undefined ? draft.table.columns[only] : undefined;
  const name = draft.constraintName(constraint.conname, column?.name ?? '', 'check');
  return {
    oid: await draft.context.takeId(),
    name,
    expression: printStored(bound, draft.table),
  };
}

/** Of a table's CHECK, and of a domain's. Throws 0A000. */
export function refuseQueries(bound: Expression): void {
  if (some(bound, (one) => one.kind === 'subquery'))
    throw new SqlError('0A000', 'cannot use subquery in check constraint');
}
