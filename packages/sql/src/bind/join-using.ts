/** JOIN … USING and NATURAL JOIN: equal columns of both sides are compared and shown as one. */

import type { FromPart } from './bind-from.ts';
import { bindOperator } from './bind-operator.ts';
import { coerceToCommon, requireCommonType } from './coerce.ts';
import type { BindContext } from './context.ts';
import type { Expression } from './expression.ts';
import type { JoinType } from './relation.ts';
import { noteColumn, type ScopeColumn } from './scope.ts';

export interface UsingClause {
  readonly names: readonly string[];
  readonly natural: boolean;
}

export interface MergedColumns {
  readonly conditions: readonly Expression[];
  readonly merged: readonly ScopeColumn[];
  /** Of the join: merged ones, then the rest of left and right. */
  readonly columns: readonly ScopeColumn[];
}

export function naturalColumns(left: FromPart, right: FromPart): UsingClause {
  const others = new Set(right.columns.map((one) => one.name));
  const names = left.columns.map((one) => one.name).filter((name) => others.has(name));
  return { names, natural: true };
}

/** Throws 42701, 42702, 42703, 42804, 42883. */
export function bindUsing(
  context: BindContext,
  join: { readonly type: JoinType; readonly left: FromPart; readonly right: FromPart },
  { names }: UsingClause,
): MergedColumns {
  const conditions: Expression[] = [];
  const merged: ScopeColumn[] = [];
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name))
      throw context.error(
        '42701',
        `column name "${name}" appears more than once in USING clause`,
        undefined,
      );
    seen.add(name);
    const left = sideColumn(context, join.left, name, 'left');
    const right = sideColumn(context, join.right, name, 'right');
    conditions.push(bindOperator(context, '=', [left, right], undefined, false));
    merged.push({ name, expression: mergedColumn(context, join.type, left, right) });
  }
  const rest = (part: FromPart) => part.columns.filter((one) => !seen.has(one.name));
  return { conditions, merged, columns: [...merged, ...rest(join.left), ...rest(join.right)] };
}

function sideColumn(
  context: BindContext,
  part: FromPart,
  name: string,
  side: 'left' | 'right',
): Expression {
  const [found, second] = part.columns.filter((one) => one.name === name);
  if (second !== undefined)
    throw context.error(
      '42702',
      `common column name "${name}" appears more than once in ${side} table`,
      undefined,
    );
  if (found !== undefined) {
    noteColumn(context, found.expression);
    return found.expression;
  }
  throw context.error(
    '42703',
    `column "${name}" specified in USING clause does not exist in ${side} table`,
    undefined,
  );
}

function mergedColumn(
  context: BindContext,
  type: JoinType,
  left: Expression,
  right: Expression,
): Expression {
  const common = requireCommonType(context, [left, right], 'JOIN/USING');
  const a = coerceToCommon(context, left, common, 'JOIN/USING');
  const b = coerceToCommon(context, right, common, 'JOIN/USING');
  if (type === 'right') return b;
  if (type === 'left') return a;
  if (type === 'inner') return a !== left && b === right ? b : a;
  return {
    kind: 'coalesce',
    type: common,
    modifier: -1,
    location: undefined,
    arguments: [a, b],
  };
}
