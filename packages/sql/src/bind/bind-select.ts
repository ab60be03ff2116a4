/** SELECT and VALUES. */
import type { Node, SelectStmt } from 'libpg-query';
import type { SqlType } from '../types/type.ts';
import { boolType } from '../types/type.ts';
import { describeKind, kindOf, listItems, locationOf, nameParts, refuseOthers } from './ast.ts';
import { bindCount, ExpressionBinder } from './bind-expression.ts';
import { bindFrom } from './bind-from.ts';
import type { BoundGrouping, BoundSelect, SortKey } from './bound.ts';
import { coerceToCommon, requireCommonType, resolveUnknown } from './coerce.ts';
import type { BindContext } from './context.ts';
import { type Expression, expressionKey, some } from './expression.ts';
import { Grouping } from './grouping.ts';
import { emptyScope, Scope, type ScopeColumn } from './scope.ts';
import { bindTargets, describe, type Target } from './target-list.ts';

const built = [
  'distinctClause',
  'targetList',
  'fromClause',
  'whereClause',
  'groupClause',
  'havingClause',
  'valuesLists',
  'sortClause',
  'limitOffset',
  'limitCount',
  'limitOption',
  'op',
];
const names: Readonly<Record<string, string>> = {
  withClause: 'WITH',
  windowClause: 'WINDOW',
  lockingClause: 'FOR UPDATE and FOR SHARE',
  intoClause: 'SELECT INTO',
  groupDistinct: 'GROUP BY DISTINCT',
  groupAll: 'GROUP BY ALL',
};

/** @param keepUnknown literals of open type stay open, for INSERT … SELECT */
export function bindSelect(
  context: BindContext,
  statement: SelectStmt,
  keepUnknown = false,
): BoundSelect {
  if (statement.op !== undefined && statement.op !== 'SETOP_NONE')
    throw context.unsupported(statement.op.replace('SETOP_', ''));
  refuseOthers(context, statement, built, names);
  if (statement.limitOption === 'LIMIT_OPTION_WITH_TIES') throw context.unsupported('WITH TIES');
  if ((statement.valuesLists ?? []).length > 0) return bindValues(context, statement);
  return new SelectBinder(context, statement, keepUnknown).bind();
}

class SelectBinder {
  private readonly context: BindContext;
  private readonly statement: SelectStmt;
  private readonly keepUnknown: boolean;

  constructor(context: BindContext, statement: SelectStmt, keepUnknown: boolean) {
    this.context = context;
    this.statement = statement;
    this.keepUnknown = keepUnknown;
  }

  bind(): BoundSelect {
    const { context, statement } = this;
    const { source, scope } = bindFrom(context, statement.fromClause ?? []);
    const targets = bindTargets(
      new ExpressionBinder(context, scope, 'SELECT'),
      statement.targetList ?? [],
      this.keepUnknown,
    );
    const where =
      statement.whereClause === undefined
        ? undefined
        : new ExpressionBinder(context, scope, 'WHERE').bindBoolean(statement.whereClause, 'WHERE');
    const having =
      statement.havingClause === undefined
        ? undefined
        : new ExpressionBinder(context, scope, 'HAVING').bindBoolean(
            statement.havingClause,
            'HAVING',
          );
    const outputs = targets.map((target) => target.expression);
    const order = this.bindOrder(scope, targets, outputs);
    const keys = this.bindGroupKeys(scope, targets);
    const distinct = this.bindDistinct(targets, order);
    const columns = targets.map(describe);
    const { limit, offset } = this.bindLimits();
    const base = {
      kind: 'select',
      source,
      where,
      columns,
      distinct,
      order,
      limit,
      offset,
    } as const;
    const grouped = keys.length > 0 || having !== undefined || [...outputs].some(containsAggregate);
    if (!grouped) return { ...base, grouping: undefined, outputs };
    const table = source.kind === 'table' ? source.table : undefined;
    const grouping = new Grouping(context, keys, table);
    const lifted = outputs.map((output) => grouping.lift(output));
    const liftedHaving = having === undefined ? undefined : grouping.lift(having);
    const bound: BoundGrouping = {
      keys: grouping.keys,
      aggregates: grouping.aggregates,
      having: liftedHaving === undefined ? undefined : grouping.settle(liftedHaving),
    };
    return { ...base, grouping: bound, outputs: lifted.map((one) => grouping.settle(one)) };
  }

  /** Appends to `outputs` what is sorted by and not shown. */
  private bindOrder(scope: Scope, targets: readonly Target[], outputs: Expression[]): SortKey[] {
    return (this.statement.sortClause ?? []).map((node) => {
      if (!('SortBy' in node) || node.SortBy.node === undefined)
        throw this.context.unsupported('ORDER BY item');
      const { sortby_dir, sortby_nulls, node: item, location } = node.SortBy;
      if (sortby_dir === 'SORTBY_USING')
        throw this.context.unsupported('ORDER BY … USING', location);
      const descending = sortby_dir === 'SORTBY_DESC';
      const nullsFirst =
        sortby_nulls === 'SORTBY_NULLS_FIRST' ||
        (sortby_nulls !== 'SORTBY_NULLS_LAST' && descending);
      return { output: this.findOutput(item, scope, targets, outputs), descending, nullsFirst };
    });
  }

  private findOutput(
    node: Node,
    scope: Scope,
    targets: readonly Target[],
    outputs: Expression[],
  ): number {
    const ordinal = this.ordinal(node, targets, 'ORDER BY');
    if (ordinal !== undefined) return ordinal;
    const named = this.namedTarget(node, targets, 'ORDER BY');
    if (named !== undefined) return named;
    const binder = new ExpressionBinder(this.context, scope, 'ORDER BY');
    const bound = resolveUnknown(this.context, binder.bind(node));
    const key = expressionKey(bound);
    const same = outputs.findIndex((output) => expressionKey(output) === key);
    if (same >= 0) return same;
    outputs.push(bound);
    return outputs.length - 1;
  }

  /** `ORDER BY 2`. Throws 42P10 for a place that there is not, 42601 for other constants. */
  private ordinal(node: Node, targets: readonly Target[], clause: string): number | undefined {
    if (!('A_Const' in node)) return undefined;
    const { ival, location } = node.A_Const;
    if (ival === undefined)
      throw this.context.error('42601', `non-integer constant in ${clause}`, location);
    const place = ival.ival ?? 0;
    if (place < 1 || place > targets.length)
      throw this.context.error(
        '42P10',
        `${clause} position ${place} is not in select list`,
        location,
      );
    return place - 1;
  }

  /** A bare name that is an output column's. Throws 42702 where two different ones have it. */
  private namedTarget(node: Node, targets: readonly Target[], clause: string): number | undefined {
    if (!('ColumnRef' in node) || node.ColumnRef.fields?.length !== 1) return undefined;
    const [name] = nameParts(node.ColumnRef.fields);
    let found: number | undefined;
    for (let i = 0; i < targets.length; i++) {
      const target = targets[i];
      if (target === undefined || target.name !== name) continue;
      const first = found === undefined ? undefined : targets[found];
      if (first === undefined) found = i;
      else if (expressionKey(first.expression) !== expressionKey(target.expression))
        throw this.context.error('42702', `${clause} "${name}" is ambiguous`, locationOf(node));
    }
    return found;
  }

  private bindGroupKeys(scope: Scope, targets: readonly Target[]): Expression[] {
    return (this.statement.groupClause ?? []).map((node) => {
      if ('GroupingSet' in node)
        throw this.context.unsupported('GROUPING SETS, CUBE and ROLLUP', node.GroupingSet.location);
      const key = this.groupKey(node, scope, targets);
      if (containsAggregate(key))
        throw this.context.error(
          '42803',
          'aggregate functions are not allowed in GROUP BY',
          key.location,
        );
      return key;
    });
  }

  /** A bare name is a column of the source first, then an output column. */
  private groupKey(node: Node, scope: Scope, targets: readonly Target[]): Expression {
    const ordinal = this.ordinal(node, targets, 'GROUP BY');
    let place = ordinal;
    if (place === undefined && 'ColumnRef' in node && node.ColumnRef.fields?.length === 1) {
      const [name = ''] = nameParts(node.ColumnRef.fields);
      const column = scope.find(this.context, name, locationOf(node));
      if (column !== undefined) return column;
      place = this.namedTarget(node, targets, 'GROUP BY');
    }
    const target = place === undefined ? undefined : targets[place];
    if (target !== undefined) return target.expression;
    const binder = new ExpressionBinder(this.context, scope, 'GROUP BY');
    return resolveUnknown(this.context, binder.bind(node));
  }

  private bindDistinct(targets: readonly Target[], order: readonly SortKey[]): boolean {
    const clause = this.statement.distinctClause ?? [];
    if (clause.length === 0) return false;
    const [first] = clause;
    if (first !== undefined && Object.keys(first).length > 0)
      throw this.context.unsupported('DISTINCT ON');
    const hidden = order.find((key) => key.output >= targets.length);
    if (hidden !== undefined)
      throw this.context.error(
        '42P10',
        'for SELECT DISTINCT, ORDER BY expressions must appear in select list',
        sortLocation(this.statement, order.indexOf(hidden)),
      );
    return true;
  }

  private bindLimits(): { limit: Expression | undefined; offset: Expression | undefined } {
    return bindLimits(this.context, this.statement);
  }
}

function sortLocation(statement: SelectStmt, index: number): number | undefined {
  const node = statement.sortClause?.[index];
  if (node === undefined || !('SortBy' in node) || node.SortBy.node === undefined) return undefined;
  return locationOf(node.SortBy.node);
}

function bindLimits(context: BindContext, statement: SelectStmt) {
  const { limitCount, limitOffset } = statement;
  const count = (node: Node | undefined, clause: 'LIMIT' | 'OFFSET') =>
    node === undefined
      ? undefined
      : bindCount(new ExpressionBinder(context, emptyScope, clause), node);
  return { limit: count(limitCount, 'LIMIT'), offset: count(limitOffset, 'OFFSET') };
}

function containsAggregate(expression: Expression): boolean {
  return some(expression, (node) => node.kind === 'aggregate');
}

/** The rows of VALUES as expressions of one type for each column. */
function bindValues(context: BindContext, statement: SelectStmt): BoundSelect {
  const binder = new ExpressionBinder(context, emptyScope, 'VALUES');
  const rows = (statement.valuesLists ?? []).map((list) =>
    listItems(list).map((node) => binder.bind(node)),
  );
  const width = rows[0]?.length ?? 0;
  const uneven = rows.find((row) => row.length !== width);
  if (uneven !== undefined)
    throw context.error('42601', 'VALUES lists must all be the same length', uneven[0]?.location);
  const types: SqlType[] = [];
  for (let i = 0; i < width; i++)
    types.push(
      requireCommonType(
        context,
        rows.flatMap((row) => row[i] ?? []),
        'VALUES',
      ),
    );
  const coerced = rows.map((row) =>
    row.map((value, i) => coerceToCommon(context, value, types[i] ?? boolType, 'VALUES')),
  );
  const columns: ScopeColumn[] = types.map((type, i) => ({
    name: `column${i + 1}`,
    type,
    modifier: -1,
    tableOid: 0,
    attributeNumber: 0,
  }));
  const scope = new Scope([{ alias: '*VALUES*', tableName: undefined, columns }]);
  const targets = scope.all().map((column) => ({ name: column.name, expression: column }));
  const outputs: Expression[] = targets.map((target) => target.expression);
  const order = (statement.sortClause ?? []).map((node): SortKey => {
    if (!('SortBy' in node)) throw context.unsupported(describeKind(kindOf(node)));
    return bindValuesOrder(context, scope, outputs, node.SortBy);
  });
  return {
    kind: 'select',
    source: { kind: 'values', rows: coerced },
    where: undefined,
    grouping: undefined,
    outputs,
    columns: targets.map(describe),
    distinct: false,
    order,
    ...bindLimits(context, statement),
  };
}

function bindValuesOrder(
  context: BindContext,
  scope: Scope,
  outputs: Expression[],
  sort: { node?: Node; sortby_dir?: string; sortby_nulls?: string },
): SortKey {
  const descending = sort.sortby_dir === 'SORTBY_DESC';
  const nullsFirst =
    sort.sortby_nulls === 'SORTBY_NULLS_FIRST' ||
    (sort.sortby_nulls !== 'SORTBY_NULLS_LAST' && descending);
  const { node } = sort;
  if (node === undefined) throw context.unsupported('ORDER BY item');
  if ('A_Const' in node && node.A_Const.ival !== undefined) {
    const place = node.A_Const.ival.ival ?? 0;
    if (place < 1 || place > scope.all().length)
      throw context.error(
        '42P10',
        `ORDER BY position ${place} is not in select list`,
        node.A_Const.location,
      );
    return { output: place - 1, descending, nullsFirst };
  }
  const bound = new ExpressionBinder(context, scope, 'VALUES').bind(node);
  const same = outputs.findIndex((output) => expressionKey(output) === expressionKey(bound));
  if (same < 0) outputs.push(bound);
  return { output: same < 0 ? outputs.length - 1 : same, descending, nullsFirst };
}
