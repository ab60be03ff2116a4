/** Target lists of SELECT and RETURNING: stars, column names, descriptions for the client. */
import type { Node } from 'libpg-query';
import { targetColumnsMax } from '../limits.ts';
import type { ColumnDescription } from '../session-api.ts';
import { kindOf, locationOf, nameParts } from './ast.ts';
import type { ExpressionBinder } from './bind-expression.ts';
import { resolveUnknown } from './coerce.ts';
import type { Expression } from './expression.ts';

export interface Target {
  readonly name: string;
  readonly expression: Expression;
}

/** @param keepUnknown for INSERT … SELECT, whose literals take the types of the columns they go to */
export function bindTargets(
  binder: ExpressionBinder,
  nodes: readonly Node[],
  keepUnknown = false,
): Target[] {
  const targets: Target[] = [];
  for (const node of nodes) {
    if (!('ResTarget' in node)) throw binder.context.unsupported('target');
    const { val, name } = node.ResTarget;
    const star = starOf(val);
    if (star !== undefined) {
      for (const column of expandStar(
        binder,
        star,
        val === undefined ? undefined : locationOf(val),
      ))
        targets.push({ name: column.name, expression: column });
    } else if (val !== undefined) {
      const bound = binder.bind(val);
      const expression = keepUnknown ? bound : resolveUnknown(binder.context, bound);
      targets.push({ name: name ?? columnName(val), expression });
    }
  }
  if (targets.length > targetColumnsMax)
    throw binder.context.error(
      '54011',
      `target lists can have at most ${targetColumnsMax} entries`,
      undefined,
    );
  return targets;
}

/** The qualifier of `a.*`, '' for `*`, undefined for anything else. */
function starOf(node: Node | undefined): string | undefined {
  if (node === undefined || !('ColumnRef' in node)) return undefined;
  const fields = node.ColumnRef.fields ?? [];
  const last = fields[fields.length - 1];
  if (last === undefined || !('A_Star' in last)) return undefined;
  return nameParts(fields.slice(0, -1)).pop() ?? '';
}

function expandStar(binder: ExpressionBinder, qualifier: string, location: number | undefined) {
  const { scope, context } = binder;
  if (qualifier !== '')
    return scope.columnsOf(scope.relation(context, qualifier, location), location);
  if (scope.relations.length === 0)
    throw context.error('42601', 'SELECT * with no tables specified is not valid', location);
  return scope.all(location);
}

export function describe(target: Target): ColumnDescription {
  const { expression, name } = target;
  const column = expression.kind === 'column' ? expression : undefined;
  return {
    name,
    typeOid: expression.type.oid,
    typeLength: expression.type.length,
    typeModifier: expression.modifier,
    tableOid: column?.tableOid ?? 0,
    attributeNumber: column?.attributeNumber ?? 0,
  };
}

/** FigureColname: what PostgreSQL calls a column that was given no name. */
export function columnName(node: Node): string {
  return figure(node).name ?? '?column?';
}

interface Figured {
  readonly name: string | undefined;
  /** A weak name gives way to a better one around it. */
  readonly weak: boolean;
}

const nothing: Figured = { name: undefined, weak: true };
const strong = (name: string | undefined): Figured => ({ name, weak: name === undefined });

function figure(node: Node | undefined): Figured {
  if (node === undefined) return nothing;
  if ('ColumnRef' in node) return strong(nameParts(node.ColumnRef.fields).pop());
  if ('FuncCall' in node) return strong(nameParts(node.FuncCall.funcname).pop());
  if ('A_Expr' in node) return node.A_Expr.kind === 'AEXPR_NULLIF' ? strong('nullif') : nothing;
  if ('TypeCast' in node) {
    const inner = figure(node.TypeCast.arg);
    if (!inner.weak) return inner;
    return { name: nameParts(node.TypeCast.typeName?.names).pop(), weak: true };
  }
  if ('CollateClause' in node) return figure(node.CollateClause.arg);
  if ('CaseExpr' in node) {
    const inner = figure(node.CaseExpr.defresult);
    return inner.weak ? { name: 'case', weak: true } : inner;
  }
  if ('CoalesceExpr' in node) return strong('coalesce');
  if ('MinMaxExpr' in node)
    return strong(node.MinMaxExpr.op === 'IS_GREATEST' ? 'greatest' : 'least');
  if ('SQLValueFunction' in node)
    return strong((node.SQLValueFunction.op ?? '').replace(/^SVFOP_|_N$/g, '').toLowerCase());
  if (kindOf(node) === 'A_Const') return nothing;
  return nothing;
}
