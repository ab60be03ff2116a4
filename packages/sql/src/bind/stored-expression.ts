/**
 * Expressions that the catalog keeps as text: CHECK, generated columns, defaults, parts of indexes. They are printed when they
 * are made, in a form that means the same in every session, and bound again where a plan needs them.
 */
import type { Node } from 'libpg-query';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import { NameResolver } from '../catalog/name-resolver.ts';
import { CatalogSnapshot } from '../catalog/snapshot.ts';
import type { EvalContext } from '../functions/signature.ts';
import { Parser, type Statement } from '../parse/parser.ts';
import { SqlError } from '../sql-error.ts';
import { utcZone } from '../types/time-zone.ts';
import { ExpressionBinder } from './bind-expression.ts';
import type { Clause } from './binder.ts';
import { type AssignmentTarget, coerceToColumn } from './coerce.ts';
import { BindContext } from './context.ts';
import type { Expression } from './expression.ts';
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

export function tableScope(table: TableDescriptor | undefined): Scope {
  return table === undefined
    ? emptyScope()
    : new Scope([tableItem(table, undefined)], new Frame(undefined));
}
