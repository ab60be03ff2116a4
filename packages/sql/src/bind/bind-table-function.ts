/** Functions in FROM: set-returning ones, and any ordinary function as a table of one row. */
import type { FuncCall, RangeFunction } from 'libpg-query';
import { concreteTypes } from '../functions/polymorphic.ts';
import { resolveFunction } from '../functions/resolve.ts';
import { setFunctions } from '../functions/set-functions.ts';
import type { SetSignature } from '../functions/set-returning.ts';
import { int8Type, type SqlType } from '../types/type.ts';
import { listItems, nameParts } from './ast.ts';
import { ExpressionBinder } from './bind-expression.ts';
import { noFunction, shownCall } from './bind-function.ts';
import { coerceImplicitly } from './coerce.ts';
import type { BindContext } from './context.ts';
import { constant, type Expression } from './expression.ts';
import type { Source } from './relation.ts';
import type { Scope } from './scope.ts';
import { columnName } from './target-list.ts';

export interface BoundTableFunction {
  readonly name: string;
  /** Without the ordinality; a name that is undefined is the function's or its alias. */
  readonly columns: readonly { readonly name: string | undefined; readonly type: SqlType }[];
  readonly source: Source;
}

/** Throws as any call does. */
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
  const parts = call === undefined ? [columnName(node)] : nameParts(call.funcname);
  const name = parts[parts.length - 1] ?? '';
  const inCatalog = parts.length === 1 || parts[0] === 'pg_catalog';
  if (call !== undefined && inCatalog && setFunctions.has(name)) {
    const bound = bindSetCall(context, binder, call, name);
    const types = bound.columns.map((one) => one.type);
    if (ordinality) types.push(int8Type);
    return {
      name,
      columns: bound.columns,
      source: {
        kind: 'function',
        name,
        signature: bound.signature,
        arguments: bound.arguments,
        ordinality,
        types,
      },
    };
  }
  const value = binder.bind(node);
  const row: Expression[] = ordinality ? [value, constant(int8Type, 1n)] : [value];
  const types = row.map((one) => one.type);
  return {
    name,
    columns: [{ name: undefined, type: value.type }],
    source: { kind: 'values', rows: [row], types },
  };
}

export interface BoundSetCall {
  readonly signature: SetSignature;
  readonly arguments: readonly Expression[];
  readonly columns: readonly { readonly name: string | undefined; readonly type: SqlType }[];
}

/** Throws 42883, 42725, 42804. */
export function bindSetCall(
  context: BindContext,
  binder: ExpressionBinder,
  call: FuncCall,
  name: string,
): BoundSetCall {
  const { location } = call;
  const bound = (call.args ?? []).map((argument) => binder.bind(argument));
  const types = bound.map((one) => one.type);
  const resolution = resolveFunction(setFunctions.get(name) ?? [], types);
  if (resolution.kind === 'ambiguous')
    throw context.error('42725', `function ${shownCall(name, types)} is not unique`, location, {
      hint: 'Could not choose a best candidate function. You might need to add explicit type casts.',
    });
  if (resolution.kind === 'none') throw noFunction(context, name, bound, location);
  const { overload, parameters } = resolution;
  const columns = overload.columns.map((column) => {
    const concrete = concreteTypes(parameters, column.type, types);
    if (concrete === 'unknown')
      throw context.error(
        '42804',
        'could not determine polymorphic type because input has type unknown',
        location,
      );
    if (concrete === undefined) throw noFunction(context, name, bound, location);
    return { name: column.name, type: concrete.result, parameters: concrete.parameters };
  });
  const concrete = columns[0]?.parameters ?? parameters;
  return {
    signature: overload,
    arguments: bound.map((one, i) => coerceImplicitly(context, one, concrete[i] ?? one.type)),
    columns,
  };
}
