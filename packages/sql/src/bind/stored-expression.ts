/**
 * Expressions that the catalog keeps as text: CHECK, generated columns, defaults, parts of indexes. They are printed when they
 * are made, in a form that means the same in every session, and bound again where a plan needs them.
 */
import type { Node } from 'libpg-query';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import { NameResolver } from '../catalog/name-resolver.ts';
import { CatalogSnapshot, catalogSchema } from '../catalog/snapshot.ts';
import type { EvalContext } from '../functions/signature.ts';
import { Parser, type Statement } from '../parse/parser.ts';
import { print } from '../plan/explain.ts';
import { SqlError } from '../sql-error.ts';
import { utcZone } from '../types/time-zone.ts';
import type { SqlType } from '../types/type.ts';
import { ExpressionBinder } from './bind-expression.ts';
import type { Clause } from './binder.ts';
import { type AssignmentTarget, coerceToColumn } from './coerce.ts';
import { BindContext } from './context.ts';
import { type Expression, some } from './expression.ts';
import { emptyScope, Frame, Scope, tableItem } from './scope.ts';

const parser = new Parser();

/** Folding sees no session: what is stored does not depend on one. */
export const neutralEvaluation: EvalContext = {
  zone: utcZone,
  extraFloatDigits: 1,
  now: 0n,
  statementStart: 0n,
  clockTime: () => 0n,
  parameters: [],
  user: '',
  database: '',
  catalog: undefined,
  setting: () => undefined,
  arguments: [],
  get root(): EvalContext {
    return neutralEvaluation;
  },
  subqueries: undefined,
};

function parsed(text: string): { readonly node: Node; readonly statement: Statement } {
  const [statement] = parser.parse(`SELECT ${text}`);
  const tree = statement?.node.tree;
  const target =
    tree !== undefined && 'SelectStmt' in tree ? tree.SelectStmt.targetList?.[0] : undefined;
  if (statement === undefined || target === undefined || !('ResTarget' in target))
    throw new RangeError('a stored expression is one expression');
  const { val } = target.ResTarget;
  if (val === undefined) throw new RangeError('a stored expression has a value');
  return { node: val, statement };
}

/** Over a row of the table, or over nothing; on its way into a column, if one is given. Throws as binding does. */
export function bindStored(
  text: string,
  clause: Clause,
  table: TableDescriptor | undefined,
  column?: AssignmentTarget,
): Expression {
  const { node, statement } = parsed(text);
  const context = new BindContext({
    source: statement.node.source,
    parameterTypes: [],
    evaluation: neutralEvaluation,
    names: new NameResolver(CatalogSnapshot.empty(), []),
    types: usersTypes(table, column),
  });
  try {
    const bound = new ExpressionBinder(context, tableScope(table), clause).bind(node);
    return column === undefined ? bound : coerceToColumn(context, bound, column);
  } catch (error) {
    if (!(error instanceof SqlError)) throw error;
    // It points into a text that the user does not see.
    const { position: _, ...fields } = error.fields;
    throw new SqlError(error.code, error.message, fields);
  }
}

/** The text of an expression that the catalog is to keep. Throws 0A000 for types that the text would not lead to. */
export function printStored(
  bound: Expression,
  table: TableDescriptor | undefined,
  column?: AssignmentTarget,
): string {
  const known = new Set(usersTypes(table, column).map(({ oid }) => oid));
  some(bound, ({ type }) => {
    const { schema, oid, display } = type.element ?? type;
    if (schema === catalogSchema || known.has(oid)) return false;
    throw new SqlError(
      '0A000',
      `type ${display} in an expression over no column of that type is not supported yet`,
    );
  });
  return print(bound);
}

/** What a stored expression may name: the types of its row and of what it goes into. */
function usersTypes(
  table: TableDescriptor | undefined,
  column: AssignmentTarget | undefined,
): readonly SqlType[] {
  const columns = [...(table?.columns ?? []), ...(column === undefined ? [] : [column])];
  return columns
    .map(({ type }) => type.element ?? type)
    .filter((type) => type.schema !== catalogSchema);
}

export function tableScope(table: TableDescriptor | undefined): Scope {
  return table === undefined
    ? emptyScope()
    : new Scope([tableItem(table, undefined)], new Frame(undefined));
}
