/** FROM: one table or one generate_series. Joins and subqueries will come in here. */
import type { Alias, FuncCall, Node, RangeFunction, RangeVar } from 'libpg-query';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import { int4Type, int8Type, isInteger, numericType, type SqlType } from '../types/type.ts';
import { describeKind, kindOf, listItems, nameParts, refuseOthers } from './ast.ts';
import { ExpressionBinder } from './bind-expression.ts';
import type { BoundSource } from './bound.ts';
import { coerceImplicitly, commonType } from './coerce.ts';
import type { BindContext } from './context.ts';
import { emptyScope, type Relation, Scope, tableRelation } from './scope.ts';

export interface BoundFrom {
  readonly source: BoundSource;
  readonly scope: Scope;
}

/** Throws 42P01, 3F000, 0A000. */
export function bindFrom(context: BindContext, nodes: readonly Node[]): BoundFrom {
  const [node, second] = nodes;
  if (node === undefined) return { source: { kind: 'none' }, scope: emptyScope };
  if (second !== undefined) throw context.unsupported('join of several tables');
  if ('RangeVar' in node) {
    const table = findTable(context, node.RangeVar);
    const relation = renamed(
      context,
      tableRelation(table, node.RangeVar.alias?.aliasname),
      node.RangeVar.alias,
    );
    return {
      source: { kind: 'table', table, alias: relation.alias },
      scope: new Scope([relation]),
    };
  }
  if ('RangeFunction' in node) return bindSeries(context, node.RangeFunction);
  throw context.unsupported(describeKind(kindOf(node)));
}

/** Schema-qualified names as the user wrote them, for messages. */
export function shownName(variable: RangeVar): string {
  return variable.schemaname === undefined
    ? (variable.relname ?? '')
    : `${variable.schemaname}.${variable.relname ?? ''}`;
}

/** Refuses what a table name carries beyond a name in `public`. */
export function checkTableName(context: BindContext, variable: RangeVar): void {
  const { catalogname, schemaname, location, relname = '' } = variable;
  if (catalogname !== undefined && catalogname !== context.evaluation.database)
    throw context.error(
      '0A000',
      `cross-database references are not implemented: "${catalogname}.${shownName(variable)}"`,
      location,
    );
  if (schemaname === 'pg_catalog' || schemaname === 'information_schema')
    throw context.unsupported(`system catalog "${schemaname}.${relname}"`, location);
  if (schemaname === undefined && relname.startsWith('pg_') && !context.tables.has(relname))
    throw context.unsupported(`system catalog "${relname}"`, location);
}

/** @param located whether the error points at the name. Throws 42P01. */
export function findTable(
  context: BindContext,
  variable: RangeVar,
  located = true,
): TableDescriptor {
  const { schemaname, relname = '', location } = variable;
  checkTableName(context, variable);
  if (variable.inh !== true) throw context.unsupported('ONLY', location);
  const table =
    schemaname === undefined || schemaname === 'public' ? context.tables.get(relname) : undefined;
  if (table !== undefined) return table;
  throw context.error(
    '42P01',
    `relation "${shownName(variable)}" does not exist`,
    located ? location : undefined,
  );
}

/** Column aliases: `t AS a(x, y)`. */
function renamed(context: BindContext, relation: Relation, alias: Alias | undefined): Relation {
  const names = nameParts(alias?.colnames);
  if (names.length > relation.columns.length)
    throw context.error(
      '42P10',
      `table "${relation.alias}" has ${relation.columns.length} columns available but ${names.length} columns specified`,
      undefined,
    );
  if (names.length === 0) return relation;
  const columns = relation.columns.map((column, i) => ({
    ...column,
    name: names[i] ?? column.name,
  }));
  return { ...relation, columns };
}

function bindSeries(context: BindContext, range: RangeFunction): BoundFrom {
  refuseOthers(context, range, ['functions', 'alias'], {
    lateral: 'LATERAL',
    ordinality: 'WITH ORDINALITY',
    is_rowsfrom: 'ROWS FROM',
    coldeflist: 'column definition list',
  });
  const [first] = range.functions ?? [];
  const [call] = listItems(first);
  if (call === undefined || !('FuncCall' in call)) throw context.unsupported('function in FROM');
  const name = nameParts(call.FuncCall.funcname).pop() ?? '';
  if (name !== 'generate_series')
    throw context.unsupported(`function ${name} in FROM`, call.FuncCall.location);
  const { type, bound } = bindSeriesArguments(context, call.FuncCall);
  const alias = range.alias?.aliasname ?? name;
  const relation: Relation = {
    alias,
    tableName: undefined,
    columns: [{ name: alias, type, modifier: -1, tableOid: 0, attributeNumber: 0 }],
  };
  return {
    source: { kind: 'series', type, arguments: bound },
    scope: new Scope([renamed(context, relation, range.alias)]),
  };
}

function bindSeriesArguments(context: BindContext, call: FuncCall) {
  const { location } = call;
  const binder = new ExpressionBinder(context, emptyScope, 'FROM');
  const bound = (call.args ?? []).map((argument) => binder.bind(argument));
  const shown = bound.map((one) => one.type.display).join(', ');
  const noFunction = () =>
    context.error('42883', `function generate_series(${shown}) does not exist`, location, {
      hint: 'No function matches the given name and argument types. You might need to add explicit type casts.',
    });
  if (bound.length !== 2 && bound.length !== 3) throw noFunction();
  const common = commonType(bound);
  if (bound.every((one) => one.type.name === 'unknown'))
    throw context.error('42725', `function generate_series(${shown}) is not unique`, location, {
      hint: 'Could not choose a best candidate function. You might need to add explicit type casts.',
    });
  if (common === numericType || common?.category === 'D')
    throw context.unsupported(`generate_series over ${common.display}`, location);
  if (common === undefined || !isInteger(common)) throw noFunction();
  const type: SqlType = common === int8Type ? int8Type : int4Type;
  return { type, bound: bound.map((one) => coerceImplicitly(context, one, type)) };
}
