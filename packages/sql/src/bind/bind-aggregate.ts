/** Calls of aggregates and window functions: DISTINCT, ORDER BY, FILTER, WITHIN GROUP and OVER. */
import type { FuncCall, Node } from 'libpg-query';
import { type AggregateSignature, aggregates } from '../functions/aggregates.ts';
import { concreteTypes } from '../functions/polymorphic.ts';
import { resolveFunction } from '../functions/resolve.ts';
import { scalarFunctions } from '../functions/scalar.ts';
import { windowFunctions } from '../functions/windows.ts';
import { anyType, type SqlType } from '../types/type.ts';
import { noFunction, shownCall } from './bind-function.ts';
import { readSort } from './bind-query.ts';
import { type Binder, clauseWord } from './binder.ts';
import {
  coerceImplicitly,
  coerceToCommon,
  commonType,
  resolveUnknown,
  tryCoerce,
} from './coerce.ts';
import type { BindContext } from './context.ts';
import type { AggregateExpression, Expression, OrderItem } from './expression.ts';
import { expressionKey } from './expression-key.ts';
import { mapChildren, some } from './expression-tree.ts';

const ambiguityHint =
  'Could not choose a best candidate function. You might need to add explicit type casts.';

/** Throws 42803, 42883, 42725, 42809, 42P20, 42P10, 0A000. */
export function bindAggregate(binder: Binder, call: FuncCall, name: string): Expression {
  const { context } = binder;
  const { location } = call;
  const overloads = aggregates.get(name) ?? [];
  const orderedSet = overloads.some((one) => one.orderedSet !== undefined);
  if (binder.insideAggregate)
    throw context.error('42803', 'aggregate function calls cannot be nested', location);
  const { frame } = binder.scope;
  const captured = frame.size;
  const parts = bindParts(binder, call);
  if (orderedSet !== (call.agg_within_group === true)) {
    const sorted = orderedSet ? [] : parts.order.map((item) => item.expression);
    throw noFunction(context, name, [...parts.arguments, ...sorted], location);
  }
  const { signature, values, result } = resolveAggregate(context, call, name, overloads, parts);
  const order = orderedSet
    ? parts.order.map((item, i) => ({ ...item, expression: values.sorted[i] ?? item.expression }))
    : parts.order;
  const [sorted] = order;
  const first = orderedSet ? sorted?.expression : values.direct[0];
  const aggregate: AggregateExpression = {
    kind: 'aggregate',
    type: result === anyType ? (first?.type ?? result) : result,
    modifier: -1,
    location,
    signature,
    arguments: values.direct,
    distinct: call.agg_distinct === true,
    order,
    filter: parts.filter,
  };
  if (aggregate.distinct) checkDistinctOrder(context, aggregate);
  return atItsLevel(binder, aggregate, captured);
}

interface Parts {
  readonly arguments: readonly Expression[];
  readonly order: readonly OrderItem[];
  readonly filter: Expression | undefined;
}

function bindParts(binder: Binder, call: FuncCall): Parts {
  const { context } = binder;
  binder.insideAggregate = true;
  try {
    return {
      arguments: (call.args ?? []).map((argument) => binder.bind(argument)),
      order: (call.agg_order ?? []).map((item) => {
        const { node, descending, nullsFirst } = readSort(context, item);
        return { expression: resolveUnknown(context, binder.bind(node)), descending, nullsFirst };
      }),
      filter: bindFilter(binder, call.agg_filter),
    };
  } finally {
    binder.insideAggregate = false;
  }
}

function bindFilter(binder: Binder, node: Node | undefined): Expression | undefined {
  return node === undefined ? undefined : binder.as('FILTER').bindBoolean(node, 'FILTER');
}

function resolveAggregate(
  context: BindContext,
  call: FuncCall,
  name: string,
  overloads: readonly AggregateSignature[],
  parts: Parts,
) {
  const { location } = call;
  const [count] = overloads;
  if (call.agg_star === true) {
    if (name !== 'count' || count === undefined)
      throw context.error('42883', `function ${name}() does not exist`, location);
    return { signature: count, values: { direct: [], sorted: [] }, result: count.result };
  }
  if (name === 'count' && parts.arguments.length === 0)
    throw context.error(
      '42809',
      'count(*) must be used to call a parameterless aggregate function',
      location,
    );
  const ordered = overloads.some((one) => one.orderedSet !== undefined);
  const sortedValues = ordered ? parts.order.map((item) => item.expression) : [];
  const all = [...parts.arguments, ...sortedValues];
  const types = all.map((one) => one.type);
  const resolution = resolveFunction(overloads, types);
  if (resolution.kind === 'none') throw noFunction(context, name, all, location);
  if (resolution.kind === 'ambiguous')
    throw context.error('42725', `function ${shownCall(name, types)} is not unique`, location, {
      hint: ambiguityHint,
    });
  const { overload } = resolution;
  if (overload.unsupported === true)
    throw context.unsupported(`aggregate ${shownCall(name, overload.parameters)}`, location);
  const concrete = concreteTypes(resolution.parameters, overload.result, types);
  if (concrete === undefined) throw noFunction(context, name, all, location);
  if (concrete === 'unknown')
    throw context.error(
      '42804',
      'could not determine polymorphic type because input has type unknown',
      location,
    );
  const values = all.map((one, i) => {
    const parameter = concrete.parameters[i];
    const coerced = parameter === undefined ? one : coerceImplicitly(context, one, parameter);
    return resolveLiteral(context, coerced);
  });
  const direct = values.slice(0, parts.arguments.length);
  return {
    signature: overload,
    values: { direct, sorted: values.slice(direct.length) },
    result: concrete.result,
  };
}

/** As an argument of any type a literal is text; a parameter stays open, and fails at the end as in PostgreSQL. */
export function resolveLiteral(context: BindContext, expression: Expression): Expression {
  return expression.kind === 'parameter' ? expression : resolveUnknown(context, expression);
}

function checkDistinctOrder(context: BindContext, aggregate: AggregateExpression): void {
  const keys = aggregate.arguments.map(expressionKey);
  const other = aggregate.order.find((item) => !keys.includes(expressionKey(item.expression)));
  if (other !== undefined)
    throw context.error(
      '42P10',
      'in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list',
      other.expression.location,
    );
}

/**
 * An aggregate belongs to the innermost level whose columns it reads. One that reads only levels around this is computed
 * there and handed in. Throws 42803 where its own level's clause has no room for it.
 */
function atItsLevel(binder: Binder, aggregate: AggregateExpression, captured: number): Expression {
  const { context, scope } = binder;
  const { frame } = scope;
  const own = (one: Expression) => one.kind === 'column';
  const outer = (one: Expression) => one.kind === 'argument';
  const belongsHere = some(aggregate, own) || !some(aggregate, outer) || frame.outer === undefined;
  if (!belongsHere) {
    const lifted = outward(aggregate, frame.arguments);
    frame.forget(captured);
    return frame.capture(lifted, aggregate.location);
  }
  if (!binder.allowsAggregates)
    throw context.error(
      '42803',
      `aggregate functions are not allowed in ${clauseWord(binder.clause)}`,
      aggregate.location,
    );
  const inner = [...aggregate.arguments, ...aggregate.order.map((item) => item.expression)];
  if (inner.some((one) => some(one, (node) => node.kind === 'window')))
    throw context.error(
      '42803',
      'aggregate function calls cannot contain window function calls',
      inner[0]?.location,
    );
  return aggregate;
}

/** The expression as the level around sees it. */
function outward(expression: Expression, values: readonly Expression[]): Expression {
  if (expression.kind === 'argument') return values[expression.index] ?? expression;
  return mapChildren(expression, (child) => outward(child, values));
}

/** `f(…) OVER (…)`. Throws 42809, 42P20, 42883, 0A000. */
export function bindWindowCall(binder: Binder, call: FuncCall, name: string): Expression {
  const { context } = binder;
  const { location, over } = call;
  const own = windowFunctions.get(name);
  const overloads = aggregates.get(name);
  if (own === undefined && overloads === undefined) {
    const bound = (call.args ?? []).map((argument) => binder.bind(argument));
    const missing = noFunction(context, name, bound, location);
    if (!scalarFunctions.has(name) || call.agg_star === true) throw missing;
    throw context.error(
      '42809',
      `OVER specified, but ${name} is not a window function nor an aggregate function`,
      location,
    );
  }
  if (call.agg_distinct === true)
    throw context.error('0A000', 'DISTINCT is not implemented for window functions', location);
  if ((call.agg_order ?? []).length > 0)
    throw context.error(
      '0A000',
      'aggregate ORDER BY is not implemented for window functions',
      location,
    );
  if (own !== undefined && call.agg_filter !== undefined)
    throw context.error(
      '0A000',
      'FILTER is not implemented for non-aggregate window functions',
      location,
    );
  if (binder.insideAggregate)
    throw context.error(
      '42803',
      'aggregate function calls cannot contain window function calls',
      location,
    );
  if (binder.insideWindow)
    throw context.error('42P20', 'window function calls cannot be nested', location);
  if (!binder.allowsWindows || binder.windows === undefined || over === undefined)
    throw context.error(
      '42P20',
      `window functions are not allowed in ${clauseWord(binder.clause)}`,
      location,
    );
  binder.insideWindow = true;
  let bound: readonly Expression[];
  let filter: Expression | undefined;
  try {
    bound = (call.args ?? []).map((argument) => binder.bind(argument));
    filter = bindFilter(binder, call.agg_filter);
  } finally {
    binder.insideWindow = false;
  }
  const window = binder.windows.resolve(over);
  if (own === undefined) {
    const parts = { arguments: bound, order: [], filter };
    const aggregate = resolveAggregate(context, call, name, overloads ?? [], parts);
    const { signature, values, result } = aggregate;
    if (signature.orderedSet !== undefined)
      throw context.error(
        '0A000',
        `OVER is not supported for ordered-set aggregate ${name}`,
        location,
      );
    const type = result === anyType ? (bound[0]?.type ?? anyType) : result;
    return {
      kind: 'window',
      type,
      modifier: -1,
      location,
      function: { kind: 'aggregate', signature },
      arguments: values.direct,
      filter,
      window,
    };
  }
  const signature = own.find((one) => one.parameters.length === bound.length);
  const fitted =
    signature === undefined ? undefined : fitWindow(context, signature.parameters, bound);
  if (signature === undefined || fitted === undefined || call.agg_star === true)
    throw noFunction(context, name, call.agg_star === true ? [] : bound, location);
  const type = signature.result === anyType ? (fitted[0]?.type ?? anyType) : signature.result;
  return {
    kind: 'window',
    type,
    modifier: -1,
    location,
    function: { kind: 'window', signature },
    arguments: fitted,
    filter: undefined,
    window,
  };
}

/** Arguments in the types of the parameters; those of any type share one. */
function fitWindow(
  context: BindContext,
  parameters: readonly SqlType[],
  bound: readonly Expression[],
): readonly Expression[] | undefined {
  const common = commonType(bound.filter((_one, i) => parameters[i] === anyType));
  const fitted = bound.map((one, i) => {
    const parameter = parameters[i];
    if (parameter === undefined || common === undefined) return undefined;
    if (parameter === anyType) return coerceToCommon(context, one, common, 'window function');
    return tryCoerce(context, one, parameter, 'implicit');
  });
  const complete = fitted.flatMap((one) => one ?? []);
  return complete.length === bound.length ? complete : undefined;
}
