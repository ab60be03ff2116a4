/** Functions in FROM: generate_series, and any ordinary function as a table of one row. */
import type { FuncCall, RangeFunction } from 'libpg-query';
import { int4Type, int8Type, isInteger, numericType, type SqlType } from '../types/type.ts';
import { listItems, nameParts } from './ast.ts';
import { ExpressionBinder } from './bind-expression.ts';
import { coerceImplicitly, commonType } from './coerce.ts';
import type { BindContext } from './context.ts';
import { constant, type Expression } from './expression.ts';
import type { Source } from './relation.ts';
import type { Scope } from './scope.ts';
import { columnName } from './target-list.ts';

export interface BoundTableFunction {
  readonly name: string;
  readonly type: SqlType;
  readonly source: Source;
}

/** Throws as any call does; 0A000 for set-returning functions that are not built. */
export function bindTableFunction(
  context: BindContext,
  scope: Scope,
  range: RangeFunction,
): BoundTableFunction {
  const [first] = range.functions ?? [];
  const [node] = listItems(first);
  if (node === undefined) throw context.unsupported('function in FROM');
  const ordinality = range.ordinality === true;
  const binder = new ExpressionBinder(context, scope, 'FROM');
  const call = 'FuncCall' in node ? node.FuncCall : undefined;
  const name = call === undefined ? columnName(node) : (nameParts(call.funcname).pop() ?? '');
  if (call !== undefined && name === 'generate_series') {
    const { type, bound } = bindSeriesArguments(context, binder, call);
    const types = ordinality ? [type, int8Type] : [type];
    return {
      name,
      type,
      source: { kind: 'function', name, arguments: bound, ordinality, types },
    };
  }
  if (call !== undefined && ['unnest', 'generate_subscripts', 'json_each'].includes(name))
    throw context.unsupported(`function ${name} in FROM`, call.location);
  const value = binder.bind(node);
  const row: Expression[] = ordinality ? [value, constant(int8Type, 1n)] : [value];
  const types = row.map((one) => one.type);
  return { name, type: value.type, source: { kind: 'values', rows: [row], types } };
}

/** Throws 42883, 42725, 0A000. */
export function bindSeriesArguments(
  context: BindContext,
  binder: ExpressionBinder,
  call: FuncCall,
): { readonly type: SqlType; readonly bound: readonly Expression[] } {
  const { location } = call;
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
