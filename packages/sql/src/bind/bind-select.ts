/** SELECT and VALUES: one query level, clause by clause, in the order in which PostgreSQL looks at them. */
import type { Node, SelectStmt } from 'libpg-query';
import { unknownType } from '../types/type.ts';
import { locationOf, nameParts } from './ast.ts';
import { ExpressionBinder } from './bind-expression.ts';
import { type BoundFrom, bindFrom } from './bind-from.ts';
import { bindGroupClause, type GroupClause } from './bind-group.ts';
import { lockedTables, lockingClauses, strengthOf } from './bind-locking.ts';
import {
  bindLimits,
  converted,
  limited,
  type OpenQuery,
  readSort,
  sortOrdinal,
  valuesRows,
} from './bind-query.ts';
import { hasSet, liftSets } from './bind-set-function.ts';
import type { Clause } from './binder.ts';
import { coerceToCommon, requireCommonType, resolveUnknown } from './coerce.ts';
import type { BindContext } from './context.ts';
import { column, type Expression } from './expression.ts';
import { expressionKey } from './expression-key.ts';
import { some } from './expression-tree.ts';
import { Grouping } from './grouping.ts';
import type { Level } from './level.ts';
import { bareScope } from './level.ts';
import {
  type FromTree,
  type LockTarget,
  oneRow,
  type Relation,
  type SortKey,
  type Values,
} from './relation.ts';
import { Scope, scopeItem } from './scope.ts';
import { bindTargets, describe, type Target } from './target-list.ts';
import { WindowClause, WindowLift } from './window-clause.ts';

interface OrderClause {
  readonly keys: SortKey[];
  readonly nodes: readonly Node[];
}

/** What DISTINCT leaves: false, all columns, or one row for each combination of these. */
type DistinctClause = false | 'all' | readonly number[];

export class SelectBinder {
  private readonly context: BindContext;
  private readonly statement: SelectStmt;
  private readonly level: Level;
  private scope: Scope;
  private windows: WindowClause;
  private targets: Target[] = [];
  /** Of the targets, and behind them what is sorted by and not shown. */
  private outputs: Expression[] = [];

  constructor(context: BindContext, statement: SelectStmt, level: Level) {
    this.context = context;
    this.statement = statement;
    this.level = level;
    this.scope = bareScope(level);
    this.windows = new WindowClause(context, statement.windowClause ?? [], () =>
      this.binder('WINDOW'),
    );
  }

  bind(): OpenQuery {
    const { context, statement } = this;
    const input = this.bindSource();
    const where = this.condition(statement.whereClause, 'WHERE');
    const having = this.condition(statement.havingClause, 'HAVING');
    const order = this.bindOrder();
    const group = bindGroupClause(this.context, statement, (node) => this.groupKey(node));
    const distinct = this.bindDistinct(order);
    const limits = bindLimits(context, statement, this.scope, order.keys);
    this.windows.bindRest();
    const locks = this.bindLocking(input);
    const source = this.filtered(input, where);
    const columns = this.targets.map(describe);
    const computed = this.compute(input, source, group, having);
    const shown = this.targets.length;
    const outputs = this.outputs.slice(0, shown);
    return {
      columns,
      outputs,
      finish: (convert) => {
        const inPlace = computed.outputs.map((output, i) =>
          i < shown && output.type === unknownType
            ? convert(output, i)
            : resolveUnknown(context, output),
        );
        const { relation: below, replace } = liftSets(computed.input, inPlace);
        let relation: Relation = {
          kind: 'project',
          input: below,
          outputs: inPlace.map(replace),
          types: inPlace.map((one) => one.type),
        };
        relation = arrange(relation, distinct, order.keys);
        if (locks.length > 0)
          relation = { kind: 'lock', input: relation, targets: locks, types: relation.types };
        relation = limited(relation, limits);
        if (inPlace.length > shown)
          relation = { kind: 'narrow', input: relation, types: relation.types.slice(0, shown) };
        return converted(relation, outputs, convert);
      },
    };
  }

  private binder(clause: Clause): ExpressionBinder {
    const binder = new ExpressionBinder(this.context, this.scope, clause);
    binder.windows = this.windows;
    return binder;
  }

  private bindSource(): BoundFrom | Values {
    const lists = this.statement.valuesLists ?? [];
    if (lists.length > 0) return this.bindValues(lists);
    const rowIds = this.statement.lockingClause !== undefined;
    const from = bindFrom(this.context, this.level, this.statement.fromClause ?? [], { rowIds });
    this.scope = from.scope;
    this.targets = bindTargets(this.binder('SELECT'), this.statement.targetList ?? []);
    this.outputs = this.targets.map((target) => target.expression);
    return from;
  }

  /** The rows of VALUES as expressions of one type for each column. */
  private bindValues(lists: readonly Node[]): Values {
    const { context } = this;
    const binder = this.binder('VALUES');
    const rows = valuesRows(binder, lists).map((row) =>
      row.map(({ node, bound }) => bound ?? binder.bindAsIs(node)),
    );
    const types = (rows[0] ?? []).map((_first, i) =>
      requireCommonType(
        context,
        rows.flatMap((row) => row[i] ?? []),
        'VALUES',
      ),
    );
    const coerced = rows.map((row) =>
      row.map((value, i) => coerceToCommon(context, value, types[i] ?? value.type, 'VALUES')),
    );
    const columns = types.map((type, i) => {
      const modifier = coerced[0]?.[i]?.modifier ?? -1;
      const same = coerced.every((row) => row[i]?.modifier === modifier);
      return {
        name: `column${i + 1}`,
        type,
        modifier: same ? modifier : -1,
        tableOid: 0,
        attributeNumber: 0,
      };
    });
    const item = scopeItem({ alias: '*VALUES*', columns, offset: 0 });
    const { frame, ctes } = this.level;
    this.scope = new Scope([item], frame, { ctes });
    this.targets = this.scope.all(this.context);
    this.outputs = this.targets.map((target) => target.expression);
    return { kind: 'values', rows: coerced, types };
  }

  private filtered(input: BoundFrom | Values, where: Expression | undefined): Relation {
    const relation: Relation =
      'kind' in input
        ? input
        : input.tree === undefined
          ? oneRow
          : { kind: 'from', tree: input.tree, where, types: input.types };
    if (relation.kind === 'from' || where === undefined) return relation;
    return { kind: 'filter', input: relation, condition: where, types: relation.types };
  }

  private condition(node: Node | undefined, clause: 'WHERE' | 'HAVING'): Expression | undefined {
    if (node === undefined) return undefined;
    const bound = this.binder(clause).bindBoolean(node, clause);
    if (clause === 'WHERE') refuseAggregates(this.context, bound, clause);
    return bound;
  }

  /** Grouping and windows: what is below the projection, and the outputs over it. */
  private compute(
    input: BoundFrom | Values,
    source: Relation,
    group: GroupClause,
    having: Expression | undefined,
  ): { readonly input: Relation; readonly outputs: readonly Expression[] } {
    // What is grouped by is there before the groups are.
    const { relation: below, replace } = liftSets(source, group.keys);
    let relation = below;
    let outputs = this.outputs.map(replace);
    const grouped =
      group.written || having !== undefined || outputs.some((output) => some(output, isAggregate));
    if (grouped) {
      const tree = 'kind' in input ? undefined : input.tree;
      if (tree !== undefined && readsWorkingTable(tree))
        throw this.context.error(
          '42P19',
          "aggregate functions are not allowed in a recursive query's recursive term",
          outputs.flatMap((output) => findAggregate(output) ?? [])[0]?.location,
        );
      const grouping = new Grouping(
        this.context,
        { ...group, keys: group.keys.map(replace) },
        tree,
      );
      outputs = outputs.map((output) => grouping.lift(output));
      const condition = having === undefined ? undefined : grouping.lift(having);
      relation = grouping.relation(below);
      outputs = outputs.map((output) => grouping.settle(output));
      if (condition !== undefined)
        relation = {
          kind: 'filter',
          input: relation,
          condition: grouping.settle(condition),
          types: relation.types,
        };
    }
    const lift = new WindowLift(relation);
    outputs = outputs.map((output) => lift.lift(output));
    return { input: lift.relation(), outputs };
  }

  /** Appends to `outputs` the keys of the tables that are locked. Throws 0A000, 42P01. */
  private bindLocking(input: BoundFrom | Values): LockTarget[] {
    const { context, statement } = this;
    const clauses = lockingClauses(context, statement);
    const [first] = clauses;
    if (first === undefined || 'kind' in input) return [];
    const refuse = (what: string) =>
      context.error('0A000', `${strengthOf(first)} is not allowed with ${what}`, undefined);
    if (this.outputs.some((output) => some(output, isAggregate)))
      throw refuse('aggregate functions');
    if (this.outputs.some((output) => some(output, (node) => node.kind === 'window')))
      throw refuse('window functions');
    if (this.outputs.some(hasSet)) throw refuse('set-returning functions in the target list');
    return lockedTables(context, clauses, input.tree).map((locked) => {
      const { source, offset, strength, mode, wait } = locked;
      const { table, withRowId } = source;
      const places = withRowId ? [table.columns.length] : (table.primaryKey?.columns ?? []);
      const columns = places.map((place) => {
        const type = source.types[place];
        if (type === undefined) throw new RangeError('key column is a column');
        return this.outputs.push(column(type, offset + place)) - 1;
      });
      return { table, columns, strength, mode, wait };
    });
  }

  /** Appends to `outputs` what is sorted by and not shown. */
  private bindOrder(): OrderClause {
    const nodes: Node[] = [];
    const keys: SortKey[] = [];
    for (const item of this.statement.sortClause ?? []) {
      const { node, descending, nullsFirst } = readSort(this.context, item);
      const output = this.findOutput(node, 'ORDER BY');
      if (keys.some((key) => key.output === output)) continue;
      keys.push({ output, descending, nullsFirst });
      nodes.push(node);
    }
    return { keys, nodes };
  }

  private findOutput(node: Node, clause: 'ORDER BY' | 'DISTINCT ON'): number {
    const { context } = this;
    const place =
      sortOrdinal(context, node, this.targets.length, clause) ?? this.namedTarget(node, clause);
    if (place !== undefined) return this.resolved(place);
    const bound = resolveUnknown(context, this.binder(clause).bind(node));
    const key = expressionKey(bound);
    const same = this.outputs.findIndex((output) => expressionKey(output) === key);
    if (same >= 0) return same;
    return this.outputs.push(bound) - 1;
  }

  /** What is sorted or grouped by has a type. */
  private resolved(place: number): number {
    const target = this.targets[place];
    if (target !== undefined) {
      const expression = resolveUnknown(this.context, target.expression);
      this.targets[place] = { ...target, expression };
      this.outputs[place] = expression;
    }
    return place;
  }

  /** A bare name that is an output column's. Throws 42702 where two different ones have it. */
  private namedTarget(node: Node, clause: string): number | undefined {
    if (!('ColumnRef' in node) || node.ColumnRef.fields?.length !== 1) return undefined;
    const [name] = nameParts(node.ColumnRef.fields);
    let found: number | undefined;
    for (let i = 0; i < this.targets.length; i++) {
      const target = this.targets[i];
      if (target === undefined || target.name !== name) continue;
      const first = found === undefined ? undefined : this.targets[found];
      if (first === undefined) found = i;
      else if (expressionKey(first.expression) !== expressionKey(target.expression))
        throw this.context.error('42702', `${clause} "${name}" is ambiguous`, locationOf(node));
    }
    return found;
  }

  /** A bare name is a column of the source first, then an output column. */
  private groupKey(node: Node): Expression {
    const { context } = this;
    let place = sortOrdinal(context, node, this.targets.length, 'GROUP BY');
    if (place === undefined && 'ColumnRef' in node && node.ColumnRef.fields?.length === 1) {
      const [name = ''] = nameParts(node.ColumnRef.fields);
      const found = this.scope.findHere(context, name, locationOf(node));
      if (found !== undefined) return found;
      place = this.namedTarget(node, 'GROUP BY');
    }
    if (place === undefined) return resolveUnknown(context, this.binder('GROUP BY').bind(node));
    const bound = this.outputs[this.resolved(place)];
    if (bound === undefined) throw new RangeError('target of GROUP BY is an output');
    refuseAggregates(context, bound, 'GROUP BY');
    return bound;
  }

  private bindDistinct(order: OrderClause): DistinctClause {
    const clause = this.statement.distinctClause ?? [];
    const [first] = clause;
    if (first === undefined) return false;
    if (Object.keys(first).length > 0) return this.bindDistinctOn(clause, order);
    for (let i = 0; i < this.targets.length; i++) this.resolved(i);
    const hidden = order.keys.findIndex((key) => key.output >= this.targets.length);
    const node = order.nodes[hidden];
    if (node !== undefined)
      throw this.context.error(
        '42P10',
        'for SELECT DISTINCT, ORDER BY expressions must appear in select list',
        locationOf(node),
      );
    return 'all';
  }

  /** Appends to the order what is distinct and not ordered. Throws 42P10 where the order begins with other things. */
  private bindDistinctOn(clause: readonly Node[], order: OrderClause): readonly number[] {
    const places = clause.map((node) => this.findOutput(node, 'DISTINCT ON'));
    const wanted = new Set(places);
    let skipped = false;
    const ordered = new Set<number>();
    const refuse = (place: number) =>
      this.context.error(
        '42P10',
        'SELECT DISTINCT ON expressions must match initial ORDER BY expressions',
        place < 0 ? undefined : locationOf(clause[place] ?? ({} as Node)),
      );
    for (const key of order.keys) {
      if (!wanted.has(key.output)) {
        skipped = true;
        continue;
      }
      if (skipped) throw refuse(places.indexOf(key.output));
      ordered.add(key.output);
    }
    places.forEach((output, i) => {
      if (ordered.has(output)) return;
      if (skipped) throw refuse(i);
      ordered.add(output);
      order.keys.push({ output, descending: false, nullsFirst: false });
    });
    return [...wanted];
  }
}

/** DISTINCT below the sort, but DISTINCT ON above it. */
function arrange(input: Relation, distinct: DistinctClause, keys: readonly SortKey[]): Relation {
  const { types } = input;
  let relation = input;
  if (distinct === 'all') relation = { kind: 'distinct', input: relation, on: undefined, types };
  if (keys.length > 0) relation = { kind: 'sort', input: relation, keys, types };
  if (distinct !== false && distinct !== 'all')
    relation = { kind: 'distinct', input: relation, on: distinct, types };
  return relation;
}

export function isAggregate(node: Expression): boolean {
  return node.kind === 'aggregate' || node.kind === 'grouping';
}

function findAggregate(expression: Expression): Expression | undefined {
  let found: Expression | undefined;
  some(expression, (node) => {
    if (isAggregate(node)) found = node;
    return found !== undefined;
  });
  return found;
}

/** An aggregate of a query inside may turn out to be one of this level. Throws 42803. */
export function refuseAggregates(context: BindContext, bound: Expression, clause: string): void {
  const aggregate = findAggregate(bound);
  if (aggregate !== undefined)
    throw context.error(
      '42803',
      `aggregate functions are not allowed in ${clause}`,
      aggregate.location,
    );
  if (some(bound, (node) => node.kind === 'window'))
    throw context.error('42P20', `window functions are not allowed in ${clause}`, bound.location);
}

function readsWorkingTable(tree: FromTree): boolean {
  if (tree.kind === 'join') return readsWorkingTable(tree.left) || readsWorkingTable(tree.right);
  return tree.source.kind === 'cte' && tree.source.working;
}
