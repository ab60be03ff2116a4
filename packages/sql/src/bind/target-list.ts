/** Target lists of SELECT and RETURNING: stars, column names, descriptions for the client. */
import type { Node } from 'libpg-query';
import { targetColumnsMax } from '../limits.ts';
import type { ColumnDescription } from '../session-api.ts';
import { baseModifier } from '../types/domain.ts';
import { plainType, recordType } from '../types/type.ts';
import { nameParts } from './ast.ts';
import type { ExpressionBinder } from './bind-expression.ts';
import type { BindContext } from './context.ts';
import type { Expression } from './expression.ts';
import type { QueryColumn } from './scope.ts';
import { bindStar } from './star.ts';

export interface Target {
  readonly name: string;
  readonly expression: Expression;
}

/** Literals of open type stay open. */
export function bindTargets(binder: ExpressionBinder, nodes: readonly Node[]): Target[] {
  const targets: Target[] = [];
  for (const node of nodes) {
    if (!('ResTarget' in node)) throw binder.context.unsupported('target');
    const { val, name } = node.ResTarget;
    const star = bindStar(binder, val);
    if (star !== undefined) targets.push(...star);
    else if (val !== undefined) {
      const expression = binder.bindAsIs(val);
      targets.push({ name: name ?? columnName(val, binder.context), expression });
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

export function describe(target: Target): QueryColumn {
  const { expression, name } = target;
  const column = expression.kind === 'column' ? expression : undefined;
  return {
    name,
    type: expression.type,
    modifier: expression.modifier,
    tableOid: column?.tableOid ?? 0,
    attributeNumber: column?.attributeNumber ?? 0,
  };
}

/** What the client is told of a result's columns. */
export function columnDescription(column: QueryColumn): ColumnDescription {
  // As PostgreSQL: clients are told of what a domain is over.
  const type = plainType(column.type);
  const hasModifier = type !== recordType && type.element?.domain === undefined;
  return {
    name: column.name,
    typeOid: type.oid,
    typeLength: type.length,
    typeModifier: hasModifier ? baseModifier(column.type, column.modifier) : -1,
    tableOid: column.tableOid,
    attributeNumber: column.attributeNumber,
  };
}

/** FigureColname: what PostgreSQL calls a column that was given no name. */
export function columnName(node: Node, context?: BindContext): string {
  return figure(node, context).name ?? '?column?';
}

interface Figured {
  readonly name: string | undefined;
  /** A weak name gives way to a better one around it. */
  readonly weak: boolean;
}

const nothing: Figured = { name: undefined, weak: true };
const strong = (name: string | undefined): Figured => ({ name, weak: name === undefined });

function figure(node: Node | undefined, context: BindContext | undefined): Figured {
  if (node === undefined) return nothing;
  if ('ColumnRef' in node) {
    const names = (node.ColumnRef.fields ?? []).filter((field) => 'String' in field);
    return strong(nameParts(names).pop());
  }
  if ('FuncCall' in node) return strong(nameParts(node.FuncCall.funcname).pop());
  if ('A_Expr' in node) return node.A_Expr.kind === 'AEXPR_NULLIF' ? strong('nullif') : nothing;
  if ('TypeCast' in node) {
    const inner = figure(node.TypeCast.arg, context);
    if (!inner.weak) return inner;
    return { name: nameParts(node.TypeCast.typeName?.names).pop(), weak: true };
  }
  if ('CollateClause' in node) return figure(node.CollateClause.arg, context);
  if ('CaseExpr' in node) {
    const inner = figure(node.CaseExpr.defresult, context);
    return inner.weak ? { name: 'case', weak: true } : inner;
  }
  if ('CoalesceExpr' in node) return strong('coalesce');
  if ('MinMaxExpr' in node)
    return strong(node.MinMaxExpr.op === 'IS_GREATEST' ? 'greatest' : 'least');
  if ('SQLValueFunction' in node)
    return strong((node.SQLValueFunction.op ?? '').replace(/^SVFOP_|_N$/g, '').toLowerCase());
  if ('SubLink' in node) {
    const { subLinkType, subselect } = node.SubLink;
    if (subLinkType === 'EXISTS_SUBLINK') return strong('exists');
    if (subLinkType === 'ARRAY_SUBLINK') return strong('array');
    if (subLinkType !== 'EXPR_SUBLINK' || subselect === undefined) return nothing;
    return strong(context?.subqueryNames.get(subselect));
  }
  if ('GroupingFunc' in node) return strong('grouping');
  if ('RowExpr' in node) return strong('row');
  if ('A_ArrayExpr' in node) return strong('array');
  if ('A_Indirection' in node) {
    const fields = (node.A_Indirection.indirection ?? []).filter((step) => 'String' in step);
    const last = nameParts(fields).pop();
    return last === undefined ? figure(node.A_Indirection.arg, context) : strong(last);
  }
  return nothing;
}
