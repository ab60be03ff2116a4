/** Functions in FROM: set-returning ones, and any ordinary function as a table of one row. */
import type { FuncCall, Node, RangeFunction } from 'libpg-query';
import { concreteTypes } from '../functions/polymorphic.ts';
import { resolveFunction } from '../functions/resolve.ts';
import { setFunctionNamed, setFunctions } from '../functions/set-functions.ts';
import { type SetSignature, setFunction } from '../functions/set-returning.ts';
import { int8Type, type SqlType } from '../types/type.ts';
import { listItems, locationOf, nameParts } from './ast.ts';
import { ExpressionBinder } from './bind-expression.ts';
import { noFunction, shownCall } from './bind-function.ts';
import type { Binder } from './binder.ts';
import { coerceImplicitly } from './coerce.ts';
import type { BindContext } from './context.ts';
import type { Expression } from './expression.ts';
import { positionalArguments } from './named-arguments.ts';
import { bindRecordFunction, isRecordFunction } from './record-function.ts';
import { oneRow, type Source } from './relation.ts';
import type { Scope } from './scope.ts';
import { columnName } from './target-list.ts';

export interface BoundTableFunction {
  readonly name: string;
  /** Without the ordinality; a name that is undefined is the function's or its alias. */
  readonly columns: readonly { readonly name: string | undefined; readonly type: SqlType }[];
  readonly source: Source;
}

/** One function of FROM: its rows, and what its columns are called. */
interface BoundMember {
  readonly name: string;
  readonly signature: SetSignature;
  readonly arguments: readonly Expression[];
  readonly columns: BoundTableFunction['columns'];
}

/** Throws as any call does. */
export function bindTableFunction(
  context: BindContext,
  scope: Scope,
  range: RangeFunction,
): BoundTableFunction {
  const ordinality = range.ordinality === true;
  const binder = new ExpressionBinder(context, scope, 'FROM');
  const members = (range.functions ?? []).flatMap((one) => {
    const [node, definitions] = listItems(one);
    if (node === undefined) throw context.unsupported('function in FROM');
    const own = listItems(definitions).filter((item) => Object.keys(item).length > 0);
    return bindMembers(binder, node, own.length > 0 ? own : (range.coldeflist ?? []));
  });
  const [first] = members;
  if (first === undefined) throw context.unsupported('function in FROM');
  const columns = members.flatMap((one) => one.columns);
  const types = columns.map((one) => one.type);
  if (ordinality) types.push(int8Type);
  if (members.length === 1) {
    const { name, signature } = first;
    const source = { kind: 'function', name, signature, ordinality, types } as const;
    return { name, columns, source: { ...source, arguments: first.arguments } };
  }
  const sets = members.map((one) => ({
    signature: one.signature,
    arguments: one.arguments,
    width: one.columns.length,
  }));
  return {
    name: first.name,
    // Each is called as its function is, whatever the whole is called.
    columns: members.flatMap((one) =>
      one.columns.map((column) => ({ ...column, name: column.name ?? one.name })),
    ),
    source: { kind: 'project-set', input: oneRow, sets, ordinality, types },
  };
}

/** unnest of several arrays is as many functions; an ordinary function gives one row. */
function bindMembers(
  binder: ExpressionBinder,
  node: Node,
  definitions: readonly Node[],
): BoundMember[] {
  const { context } = binder;
  const call = 'FuncCall' in node ? node.FuncCall : undefined;
  const parts = call === undefined ? [columnName(node)] : nameParts(call.funcname);
  const name = parts[parts.length - 1] ?? '';
  const inCatalog = parts.length === 1 || parts[0] === 'pg_catalog';
  if (call !== undefined && inCatalog && isRecordFunction(name))
    return [{ name, ...bindRecordFunction(binder, call, name, definitions) }];
  if (definitions.length > 0)
    throw context.error(
      '42601',
      'a column definition list is only allowed for functions returning "record"',
      locationOf(definitions[0] ?? node),
    );
  if (call !== undefined && setFunctionNamed(parts) !== undefined) {
    const values = call.args ?? [];
    if (name !== 'unnest' || values.length < 2)
      return [{ name, ...bindSetCall(context, binder, call, name) }];
    return values.map((one) => ({
      name,
      ...bindSetCall(context, binder, { ...call, args: [one] }, name),
    }));
  }
  const value = binder.bind(node);
  return [
    {
      name,
      signature: setFunction(name, [value.type], value.type, (values) => [values], false),
      arguments: [value],
      columns: [{ name: undefined, type: value.type }],
    },
  ];
}

export interface BoundSetCall {
  readonly signature: SetSignature;
  readonly arguments: readonly Expression[];
  readonly columns: readonly { readonly name: string | undefined; readonly type: SqlType }[];
}

/** Throws 42883, 42725, 42804. */
export function bindSetCall(
  context: BindContext,
  binder: Binder,
  call: FuncCall,
  name: string,
): BoundSetCall {
  const { location } = call;
  const bound = positionalArguments(context, call, name).map((argument) => binder.bind(argument));
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
