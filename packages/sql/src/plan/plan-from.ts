/**
 * Joins: the items of FROM are taken in the order that keeps intermediate results small, predicates go down to where their
 * columns first are, and each step becomes a key lookup, a hash join, a lateral or a nested loop. Estimates come from
 * estimate.ts; a few items are tried in every order, of many the cheapest next one is taken.
 */
import { conjunction, conjuncts } from '../bind/conjuncts.ts';
import {
  type ComparisonExpression,
  type Expression,
  mapChildren,
  markColumns,
} from '../bind/expression.ts';
import type { From, FromTree, SortKey, TableSource, VirtualSourceTable } from '../bind/relation.ts';
import { sharedHashKey } from '../execute/hash-key.ts';
import {
  HashJoinOperator,
  type JoinShape,
  LateralOperator,
  NestedLoopOperator,
  type PhysicalJoinType,
} from '../execute/join.ts';
import { LookupJoinOperator } from '../execute/lookup-join.ts';
import type { NodeText, Operator } from '../execute/operator.ts';
import { FilterOperator } from '../execute/relational.ts';
import {
  FunctionOperator,
  type JoinedSource,
  OneRowOperator,
  type PushedSource,
  ScanOperator,
  VirtualScanOperator,
} from '../execute/sources.ts';
import { joinOrderMax } from '../limits.ts';
import { SqlError } from '../sql-error.ts';
import { fullScan, isOn, sharesKeys } from './access-path.ts';
import { type ChosenPath, choosePath, knownTable } from './choose-path.ts';
import { hasSubquery } from './compile.ts';
import { accessRows, distinctOf, selectivityOf, unknownTableRows } from './estimate.ts';
import { filterText, scanText, tableText } from './explain.ts';
import { impliedBy, indexesOf, type ReadableIndex } from './index-path.ts';
import { bestOrder, type Estimated } from './join-order.ts';
import type { TableScan } from './plan.ts';
import type { Planned, RelationPlanner } from './plan-relation.ts';
import { compileScan, isUniqueAccess, primaryPartsOf } from './plan-table.ts';
import { type Probe, type PushedScan, pushScan, type ScanQuestion } from './push.ts';
import { type PushedJoin, pushFetch, pushIndexJoin } from './push-join.ts';

/** An order that a single table may give by itself. `found` is set if it does. */
export interface Ordering {
  readonly keys: readonly SortKey[];
  /** What the keys' offsets count. */
  readonly outputs: readonly Expression[];
  /** Rows that are enough; undefined: all. */
  readonly limit: number | undefined;
  found: boolean;
}

/** A planned part of FROM. The layout has a place for each column of FROM that the part holds. */
interface Part extends Planned {
  readonly layout: readonly number[];
}

/** A key by which rows of a table are looked up. */
interface LookupKey {
  /** Undefined: the primary key. */
  readonly index: ReadableIndex | undefined;
  /** Of its first columns, over the row that is there already. */
  readonly values: readonly Expression[];
  readonly used: ReadonlySet<Expression>;
  /** They name one row at most. */
  readonly single: boolean;
  /** Rows that they name, about. */
  readonly matches: number;
}

interface GivenValue {
  readonly condition: Expression;
  /** Over the table's own row. */
  readonly operand: Expression;
  readonly value: Expression;
}

/** A row that goes into a hash table, or is looked up there. In rows of a scan. */
const hashCost = 0.5;

function lookupCost({ index, single, matches }: LookupKey, rows: number): number {
  if (single && index === undefined) return rows * 5;
  return rows * (10 + matches * (index === undefined ? 1 : 4));
}

type Item = Extract<FromTree, { kind: 'item' }>;

/** A part that joins with others in any order: an item, or an outer join as a whole. */
interface Leaf {
  readonly tree: FromTree;
  readonly from: number;
  readonly end: number;
  /** Columns of other leaves that it must have at hand: LATERAL. */
  readonly needs: readonly number[];
}

export function planFrom(
  planner: RelationPlanner,
  from: From,
  required: readonly boolean[],
  ordering?: Ordering,
): Planned {
  const builder = new FromPlanner(planner, from.types.length);
  return builder.region(from.tree, conjuncts(from.where), required, ordering);
}

class FromPlanner {
  private readonly planner: RelationPlanner;
  private readonly total: number;

  constructor(planner: RelationPlanner, total: number) {
    this.planner = planner;
    this.total = total;
  }

  /** Inner joins, in whatever order, and the predicates over them. */
  region(
    tree: FromTree,
    where: readonly Expression[],
    required: readonly boolean[],
    ordering?: Ordering,
  ): Part {
    const leaves: Leaf[] = [];
    const all = [...where];
    flatten(tree, all, leaves);
    // Queries are dear: what needs none is asked first.
    const pending = new Set([
      ...all.filter((one) => !hasSubquery(one)),
      ...all.filter(hasSubquery),
    ]);
    const [only] = leaves;
    if (only !== undefined && leaves.length === 1)
      return this.leaf(only, [...pending], required, ordering);
    return this.joinAll(leaves, pending, required);
  }

  private joinAll(
    leaves: readonly Leaf[],
    pending: Set<Expression>,
    required: readonly boolean[],
  ): Part {
    const own = new Map<Leaf, Expression[]>();
    for (const leaf of leaves) own.set(leaf, []);
    const [first] = leaves;
    for (const one of pending) {
      const touched = leaves.filter((leaf) => touches(one, leaf));
      const [only] = touched.length === 0 && first !== undefined ? [first] : touched;
      if (only === undefined || touched.length > 1) continue;
      own.get(only)?.push(one);
      pending.delete(one);
    }
    const conditionsOf = (leaf: Leaf) => own.get(leaf) ?? [];
    const left = new Set(leaves);
    let current: Part | undefined;
    const done: Leaf[] = [];
    const order = this.order(leaves, [...pending], conditionsOf);
    while (left.size > 0) {
      const next = order?.[done.length] ?? this.choose(left, done, pending, conditionsOf, current);
      left.delete(next);
      done.push(next);
      const usable = [...pending].filter((one) => isCovered(one, done));
      for (const one of usable) pending.delete(one);
      const needed = this.neededColumns(required, pending, left);
      const own = conditionsOf(next);
      if (current !== undefined) this.planner.noted(current);
      if (current === undefined)
        current =
          next.tree.kind === 'item' && next.tree.arguments.length > 0
            ? this.join(this.nothing(), next, { type: 'inner', own, conditions: usable, needed })
            : this.leaf(next, own, needed);
      else current = this.join(current, next, { type: 'inner', own, conditions: usable, needed });
    }
    if (current === undefined) throw new RangeError('FROM has an item');
    return current;
  }

  private nothing(): Part {
    const layout = new Array<number>(this.total).fill(-1);
    return { operator: new OneRowOperator(), layout, width: 0, rows: 1 };
  }

  /** What is read above, and by what has not been applied yet. */
  private neededColumns(
    required: readonly boolean[],
    pending: Iterable<Expression>,
    left: Iterable<Leaf>,
  ): boolean[] {
    const needed = Array.from({ length: this.total }, (_column, i) => required[i] === true);
    for (const one of pending) markColumns(one, needed);
    for (const leaf of left) for (const column of leaf.needs) needed[column] = true;
    return needed;
  }

  /** The leaf that is joined next: connected ones first, small ones first, else as they were written. */
  private choose(
    left: ReadonlySet<Leaf>,
    done: readonly Leaf[],
    pending: ReadonlySet<Expression>,
    conditionsOf: (leaf: Leaf) => readonly Expression[],
    current: Part | undefined,
  ): Leaf {
    let best: Leaf | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const leaf of left) {
      if (!leaf.needs.every((column) => done.some((one) => holds(one, column)))) continue;
      const rows = this.estimate(leaf, conditionsOf(leaf));
      const both = [...done, leaf];
      const connected = [...pending].filter((one) => isCovered(one, both));
      const equal = connected.some((one) => one.kind === 'comparison' && one.operator === '=');
      let cost = rows;
      if (current !== undefined && leaf.needs.length === 0) {
        if (!equal) cost = rows * current.rows + (connected.length === 0 ? 1e12 : 1e9);
        else if (this.lookupKey(leaf, connected, connected, []) !== undefined)
          cost = Math.min(rows, current.rows);
      }
      if (cost < least) {
        least = cost;
        best = leaf;
      }
    }
    if (best !== undefined) return best;
    throw new SqlError('0A000', 'LATERAL reference across an outer join is not supported yet');
  }

  /** Undefined: there are too many to try all orders, or none will do. */
  private order(
    leaves: readonly Leaf[],
    pending: readonly Expression[],
    conditionsOf: (leaf: Leaf) => readonly Expression[],
  ): readonly Leaf[] | undefined {
    if (leaves.length > joinOrderMax) return undefined;
    const bitOf = (columns: readonly number[]) =>
      leaves.reduce(
        (bits, leaf, i) => (columns.some((column) => holds(leaf, column)) ? bits | (1 << i) : bits),
        0,
      );
    const conditions = pending.map((one) => ({ one, bits: bitOf(columnsOf(one)) }));
    const needs = leaves.map((leaf) => bitOf(leaf.needs));
    const costs = leaves.map((leaf) => this.leafCost(leaf, conditionsOf(leaf)));
    const order = bestOrder({
      count: leaves.length,
      start: (i) => (needs[i] === 0 ? costs[i] : undefined),
      step: (done, rows, i) => {
        const [leaf, own] = [leaves[i], costs[i]];
        if (leaf === undefined || own === undefined) return undefined;
        if (((needs[i] ?? 0) & ~done) !== 0) return undefined;
        const both = done | (1 << i);
        const connecting = conditions.flatMap(({ one, bits }) =>
          (bits & (1 << i)) !== 0 && (bits & ~both) === 0 ? [one] : [],
        );
        const all = this.joinRows(leaves, rows * own.rows, connecting);
        if (leaf.needs.length > 0) return { rows: all, cost: rows * own.cost };
        const isEqual = connecting.some((one) => one.kind === 'comparison' && one.operator === '=');
        let cost = isEqual
          ? own.cost + (rows + own.rows) * hashCost
          : own.cost + rows * own.rows * (connecting.length === 0 ? 2 : 1);
        const asked = conditionsOf(leaf);
        const key = this.lookupKey(
          leaf,
          [...connecting, ...asked],
          connecting,
          localConditions(leaf, asked),
        );
        if (key !== undefined) cost = Math.min(cost, lookupCost(key, rows));
        return { rows: all, cost };
      },
    });
    return order?.flatMap((i) => leaves[i] ?? []);
  }

  /** Rows that are left of all combinations. */
  private joinRows(
    leaves: readonly Leaf[],
    combinations: number,
    conditions: readonly Expression[],
  ): number {
    const share = conditions.reduce((all, one) => all * this.joinSelectivity(leaves, one), 1);
    return Math.max(1, combinations * share);
  }

  private joinSelectivity(leaves: readonly Leaf[], condition: Expression): number {
    if (condition.kind !== 'comparison' || condition.operator !== '=') return 0.4;
    const [left, right] = [condition.left, condition.right].map((side) => {
      const [leaf] = leaves.filter((one) => touches(side, one));
      if (leaf?.tree.kind !== 'item' || leaf.tree.source.kind !== 'table') return 1;
      const known = knownTable(leaf.tree.source.table, this.planner.sources);
      return distinctOf(shifted(side, -leaf.from), known);
    });
    return 1 / Math.max(1, left ?? 1, right ?? 1);
  }

  private estimate(leaf: Leaf, conditions: readonly Expression[]): number {
    return this.leafCost(leaf, conditions).rows;
  }

  /** A leaf read by itself. */
  private leafCost(leaf: Leaf, conditions: readonly Expression[]): Estimated {
    const { tree } = leaf;
    if (tree.kind === 'join') return { rows: unknownTableRows, cost: unknownTableRows };
    const { source } = tree;
    if (source.kind === 'table') return this.tablePath(source, localConditions(leaf, conditions));
    const selectivity = conditions.reduce((all, one) => all * selectivityOf(one), 1);
    const all = source.kind === 'values' ? source.rows.length : 1_000;
    return { rows: Math.max(1, all * selectivity), cost: all };
  }

  private tablePath({ table }: TableSource, conditions: readonly Expression[]): ChosenPath {
    const { sources } = this.planner;
    const where = conjunction(conditions);
    return choosePath({ table, where, needed: undefined, order: undefined, sources });
  }

  /** One leaf by itself. */
  private leaf(
    leaf: Leaf,
    conditions: readonly Expression[],
    required: readonly boolean[],
    ordering?: Ordering,
  ): Part {
    const { tree } = leaf;
    if (tree.kind === 'join') return this.outerJoin(tree, conditions, required);
    if (tree.arguments.length > 0) {
      const needed = [...required];
      return this.join(this.nothing(), leaf, {
        type: 'inner',
        own: conditions,
        conditions: [],
        needed,
      });
    }
    return this.item(tree, conditions, required, ordering);
  }

  private item(
    item: Item,
    conditions: readonly Expression[],
    required: readonly boolean[],
    ordering?: Ordering,
  ): Part {
    const { source, offset } = item;
    const width = source.types.length;
    const layout = this.placed(offset, width, (i) => i);
    const local = conditions.map((one) => shifted(one, -offset));
    if (source.kind === 'table')
      return this.tableScan(item, source, local, { required, layout, ordering });
    const needed = source.types.map((_type, i) => required[offset + i] === true);
    for (const one of local) markColumns(one, needed);
    const planned: Planned =
      source.kind === 'function'
        ? this.series(item, source)
        : source.kind === 'virtual'
          ? this.systemTable(item, source)
          : this.planner.plan(source, needed);
    const places =
      planned.layout === undefined
        ? layout
        : this.placed(offset, width, (i) => planned.layout?.[i] ?? -1);
    const part: Part = { ...planned, layout: places };
    return this.filtered(part, conditions);
  }

  private systemTable(item: Item, source: VirtualSourceTable): Planned {
    const operator = new VirtualScanOperator(source.table, () => ({
      head: `Catalog Scan on ${tableText(source.table.name, item.alias)}`,
      details: [],
    }));
    return { operator, layout: undefined, width: source.types.length, rows: 1_000 };
  }

  private series(item: Item, source: Extract<Item['source'], { kind: 'function' }>): Planned {
    const parameters = source.arguments.map((one) => this.planner.compiler.evaluator(one));
    const { signature, ordinality } = source;
    const types = source.arguments.map((one) => one.type);
    const operator = new FunctionOperator({ signature, parameters, types, ordinality }, () => ({
      head: `Function Scan on ${tableText(source.name, item.alias)}`,
      details: [],
    }));
    return { operator, layout: undefined, width: source.types.length, rows: 1_000 };
  }

  private tableScan(
    item: Item,
    source: TableSource,
    local: readonly Expression[],
    options: {
      readonly required: readonly boolean[];
      readonly layout: readonly number[];
      readonly ordering: Ordering | undefined;
    },
  ): Part {
    const { ordering, required, layout } = options;
    const { table } = source;
    const { compiler, sources } = this.planner;
    const needed = table.columns.map((_column, i) => required[item.offset + i] === true);
    const where = conjunction(local);
    const order = ordering && { ...ordering, offset: item.offset };
    const path = choosePath({ table, where, needed, order, sources });
    const filter = path.filter === undefined ? undefined : compiler.planned(path.filter);
    const above = [...needed];
    if (filter !== undefined) markColumns(filter, needed);
    if (ordering !== undefined) ordering.found = path.order !== undefined;
    const scan = compileScan(compiler, source, path, {
      needed,
      reverse: path.order === 'reverse',
    });
    // Where storage gives the order, LIMIT ends the scan.
    const enough = path.order === undefined ? undefined : ordering?.limit;
    const rows = Math.min(path.cost, enough ?? Number.POSITIVE_INFINITY);
    const question = { scan, filter, above, rows };
    const pushed = this.pushed(question);
    const operator = new ScanOperator(
      scan,
      compiler.maybe(filter),
      () => withPushed(scanText(scan, item.alias, filter), pushed),
      pushed && this.source(pushed),
    );
    this.planner.scans.set(operator, { ...question, offset: item.offset });
    return { operator, layout, width: source.types.length, rows: path.rows };
  }

  private pushed(
    question: ScanQuestion,
    probes?: readonly Probe[],
  ): PushedScan | PushedJoin | undefined {
    if (this.planner.locks !== undefined) return undefined;
    return pushScan(question, probes) ?? pushIndexJoin(question, probes);
  }

  private source(pushed: PushedScan | PushedJoin): PushedSource | JoinedSource {
    const rest = this.planner.compiler.maybe(pushed.rest);
    return 'join' in pushed ? { join: pushed.join, rest } : { program: pushed.program, rest };
  }

  private placed(offset: number, width: number, place: (i: number) => number): number[] {
    const layout = new Array<number>(this.total).fill(-1);
    for (let i = 0; i < width; i++) layout[offset + i] = place(i);
    return layout;
  }

  private filtered(part: Part, conditions: readonly Expression[]): Part {
    const plain = conjunction(conditions);
    if (plain === undefined) return part;
    const condition = this.planner.compiler.planned(plain);
    const evaluator = this.planner.compiler.evaluator(condition, part.layout);
    const inner = shownOperator(part.operator);
    const filter = new FilterOperator(part.operator, evaluator, () => undefinedText());
    const text = (): NodeText => {
      const { head, details } = inner.text?.() ?? undefinedText();
      return { head, details: [...details, ...filterText(condition)] };
    };
    const operator: Operator = {
      inputs: inner.inputs,
      text,
      open: (run) => filter.open(run),
    };
    return { ...part, operator, rows: Math.max(1, part.rows / 3) };
  }

  /** LEFT, RIGHT and FULL joins; `above` are predicates over the result. */
  private outerJoin(
    tree: Extract<FromTree, { kind: 'join' }>,
    above: readonly Expression[],
    required: readonly boolean[],
  ): Part {
    // A RIGHT join is a LEFT join the other way round.
    const swapped = tree.type === 'right';
    const [outer, inner] = swapped ? [tree.right, tree.left] : [tree.left, tree.right];
    const type: PhysicalJoinType = tree.type === 'full' ? 'full' : 'left';
    const outerSpan = spanOf(outer);
    const innerSpan = spanOf(inner);
    const early = above.filter((one) => type === 'left' && isWithin(one, outerSpan));
    const late = above.filter((one) => !early.includes(one));
    const on = conjuncts(tree.condition);
    const own = on.filter((one) => type === 'left' && isWithin(one, innerSpan));
    const conditions = on.filter((one) => !own.includes(one));
    const needed = this.neededColumns(required, late, []);
    const below = this.neededColumns(needed, on, []);
    const leaf: Leaf = { tree: inner, ...innerSpan, needs: lateralNeeds(inner, innerSpan) };
    for (const column of leaf.needs) below[column] = true;
    const first = this.region(outer, early, below);
    if (!leaf.needs.every((column) => (first.layout[column] ?? -1) >= 0))
      throw new SqlError('0A000', 'LATERAL reference across an outer join is not supported yet');
    const joined = this.join(first, leaf, { type, own, conditions, needed });
    return this.filtered(joined, late);
  }

  /** One more leaf. `own` are predicates on it alone, `conditions` those that connect it with what is there. */
  private join(
    left: Part,
    leaf: Leaf,
    options: {
      readonly type: PhysicalJoinType;
      readonly own: readonly Expression[];
      readonly conditions: readonly Expression[];
      readonly needed: readonly boolean[];
    },
  ): Part {
    const { type, own, conditions, needed } = options;
    const { tree } = leaf;
    if (tree.kind === 'item' && tree.arguments.length > 0)
      return this.lateral(left, tree, { ...options, values: tree.arguments });
    this.planner.noted(left);
    const lookup = type === 'full' ? undefined : this.lookup(left, leaf, options);
    if (lookup !== undefined) return lookup;
    const below = this.neededColumns(needed, conditions, []);
    const right = this.planner.noted(this.region(tree, own, below));
    this.planner.noted(left);
    const hashed: ComparisonExpression[] = [];
    const rest: Expression[] = [];
    for (const one of conditions) {
      const pair = equality(one, left.layout, right.layout);
      if (pair === undefined) rest.push(one);
      else hashed.push(pair);
    }
    const swap = type === 'inner' && left.rows < right.rows;
    const [probe, build] = swap ? [right, left] : [left, right];
    const { shape, layout, width } = this.shape(type, probe, build, rest, needed);
    const { compiler } = this.planner;
    const sides = hashed.map((one) =>
      swap ? { probe: one.right, build: one.left } : { probe: one.left, build: one.right },
    );
    const hash = sharedHashKey(
      sides.map((one) => one.probe.type),
      sides.map((one) => one.build.type),
    );
    const word = joinWord(type);
    if (hashed.length > 0 && hash !== undefined) {
      const text = () => ({
        head: `Hash ${word}`,
        details: [
          ...filterText(conjunction(hashed), 'Hash Cond'),
          ...filterText(conjunction(rest), 'Join Filter'),
        ],
      });
      const operator = new HashJoinOperator(
        [probe.operator, build.operator],
        shape,
        {
          left: sides.map((one) => compiler.evaluator(one.probe, probe.layout)),
          right: sides.map((one) => compiler.evaluator(one.build, build.layout)),
          hash,
        },
        text,
        this.probe(type, probe, sides),
      );
      return { operator, layout, width, rows: Math.max(left.rows, right.rows) };
    }
    if (type === 'full' && !rest.every((one) => one.kind === 'constant'))
      throw new SqlError(
        '0A000',
        'FULL JOIN is only supported with merge-joinable or hash-joinable join conditions',
      );
    const operator = new NestedLoopOperator([probe.operator, build.operator], shape, () => ({
      head: `Nested Loop${word === 'Join' ? '' : ` ${word}`}`,
      details: filterText(conjunction(rest), 'Join Filter'),
    }));
    return { operator, layout, width, rows: left.rows * right.rows };
  }

  /** Whether the scan of the probing side leaves out rows by a filter of the other side's keys. */
  private probe(
    type: PhysicalJoinType,
    { operator }: Part,
    sides: readonly { readonly probe: Expression; readonly build: Expression }[],
  ): boolean {
    const question = this.planner.scans.get(operator);
    if (question === undefined || !(operator instanceof ScanOperator)) return false;
    if (type !== 'inner' && type !== 'semi' && type !== 'right') return false;
    const pushed = this.pushed(
      question,
      sides.map(({ probe, build }) => ({
        key: shifted(probe, -question.offset),
        against: build.type,
      })),
    );
    if (pushed === undefined) return false;
    operator.probed = this.source(pushed);
    return true;
  }

  /** Which columns of both sides the joined row takes, and where they then are. */
  private shape(
    type: PhysicalJoinType,
    left: Part,
    right: Pick<Part, 'layout'>,
    conditions: readonly Expression[],
    needed: readonly boolean[],
  ): { readonly shape: JoinShape; readonly layout: number[]; readonly width: number } {
    const wanted = this.neededColumns(needed, conditions, []);
    const layout = new Array<number>(this.total).fill(-1);
    let width = 0;
    const take = (from: readonly number[]): number[] => {
      const columns: number[] = [];
      for (let i = 0; i < this.total; i++) {
        const place = from[i] ?? -1;
        if (place < 0 || wanted[i] !== true) continue;
        layout[i] = width++;
        columns.push(place);
      }
      return columns;
    };
    const shape = { type, left: take(left.layout), right: take(right.layout) };
    const condition = conjunction(conditions);
    const evaluator =
      condition === undefined ? undefined : this.planner.compiler.evaluator(condition, layout);
    return { shape: { ...shape, condition: evaluator }, layout, width };
  }

  /** The cheapest key of a table whose first columns are given by what is there before the table is read. */
  private lookupKey(
    leaf: Leaf,
    conditions: readonly Expression[],
    connecting: readonly Expression[],
    where: readonly Expression[],
  ): LookupKey | undefined {
    const { tree } = leaf;
    if (tree.kind !== 'item' || tree.source.kind !== 'table' || tree.source.withRowId)
      return undefined;
    const { table } = tree.source;
    const { sources } = this.planner;
    const { usable } = sources;
    const given = conditions.flatMap((one) => givenValue(one, leaf) ?? []);
    let best: LookupKey | undefined;
    for (const index of [undefined, ...indexesOf(table)]) {
      if (index !== undefined) {
        if (impliedBy(index.predicate, where) === undefined) continue;
        if (usable?.(table, index.store.index.number) === false) continue;
      }
      const parts = index?.parts ?? primaryPartsOf(table);
      const used = new Set<Expression>();
      const values: Expression[] = [];
      for (const part of parts) {
        const found = given.find(
          (one) => isOn(one.operand, part) && sharesKeys(one.value.type, part.type),
        );
        if (found === undefined) break;
        values.push(found.value);
        used.add(found.condition);
      }
      if (!connecting.some((one) => used.has(one))) continue;
      const equals = values.map((value) => ({ kind: 'values' as const, values: [value] }));
      const access = { ...fullScan, equals };
      const single =
        index === undefined ? values.length === parts.length : isUniqueAccess(access, index);
      const matches = single ? 1 : accessRows(knownTable(table, sources), access, index);
      if (best === undefined || matches < best.matches)
        best = { index, values, used, single, matches };
    }
    return best;
  }

  /** Rows of a table by keys that the left side has, where that is less than reading the table. */
  private lookup(
    left: Part,
    leaf: Leaf,
    options: {
      readonly type: PhysicalJoinType;
      readonly own: readonly Expression[];
      readonly conditions: readonly Expression[];
      readonly needed: readonly boolean[];
    },
  ): Part | undefined {
    const { type, own, conditions, needed } = options;
    const { tree } = leaf;
    if (tree.kind !== 'item' || tree.source.kind !== 'table') return undefined;
    const { source, offset, alias } = tree;
    const local = localConditions(leaf, own);
    const found = this.lookupKey(leaf, [...conditions, ...own], conditions, local);
    if (found === undefined) return undefined;
    const { index, values, used, single, matches } = found;
    const whole = this.tablePath(source, local);
    if (lookupCost(found, left.rows) > whole.cost + (left.rows + whole.rows) * hashCost)
      return undefined;
    const { compiler } = this.planner;
    const rest = conditions.filter((one) => !used.has(one));
    const plain = conjunction(local.filter((_one, i) => !used.has(own[i] as Expression)));
    const filter = plain && compiler.planned(plain);
    const right = { layout: this.placed(offset, source.types.length, (i) => i) };
    const { shape, layout, width } = this.shape(type, left, right, rest, needed);
    const read = this.neededColumns(needed, rest, []);
    const columns = source.types.map((_type, i) => read[offset + i] === true);
    const above = [...columns];
    if (filter !== undefined) markColumns(filter, columns);
    const path = { access: fullScan, index };
    const scan = compileScan(compiler, source, path, { needed: columns, reverse: false });
    const looked = Math.max(1, left.rows * matches);
    const pushed =
      this.planner.locks === undefined && fetchesRows(scan, single)
        ? pushFetch({ scan, filter, above, rows: looked })
        : undefined;
    const operator = new LookupJoinOperator(
      left.operator,
      shape,
      {
        scan,
        keys: values.map((one) => compiler.evaluator(one, left.layout)),
        single,
        filter: compiler.maybe(filter),
        pushed: pushed && { rows: pushed.rows, rest: compiler.maybe(pushed.rest) },
      },
      () => ({
        head: `${index === undefined ? 'Key' : 'Index'} Lookup ${joinWord(type)}${index === undefined ? '' : ` using ${index.store.index.name}`} on ${tableText(source.table.name, alias)}`,
        details: [
          ...filterText(conjunction([...used]), index === undefined ? 'Key Cond' : 'Index Cond'),
          ...filterText(filter),
          ...filterText(conjunction(rest), 'Join Filter'),
          ...(pushed === undefined ? [] : [`At Stores: ${pushed.words}`]),
        ],
      }),
    );
    return { operator, layout, width, rows: looked };
  }

  private lateral(
    left: Part,
    item: Item,
    options: {
      readonly type: PhysicalJoinType;
      readonly own: readonly Expression[];
      readonly conditions: readonly Expression[];
      readonly needed: readonly boolean[];
      readonly values: readonly Expression[];
    },
  ): Part {
    const { type, own, conditions, needed, values } = options;
    const withArguments = item.arguments.length > 0;
    if (type === 'full') throw new SqlError('0A000', 'LATERAL in a FULL JOIN is not supported yet');
    // Inside a lateral item arguments mean its own; predicates from outside stay outside.
    const inside = withArguments ? [] : own;
    const outside = withArguments ? [...own, ...conditions] : conditions;
    const below = this.neededColumns(needed, outside, []);
    const right = this.item({ ...item, arguments: [] }, inside, below);
    const { shape, layout, width } = this.shape(type, left, right, outside, needed);
    const { compiler } = this.planner;
    const operator = new LateralOperator(
      [left.operator, right.operator],
      shape,
      values.map((one) => compiler.evaluator(one, left.layout)),
      () => ({
        head: `Nested Loop${type === 'left' ? ' Left Join' : ''}`,
        details: filterText(conjunction(outside), 'Join Filter'),
      }),
    );
    return { operator, layout, width, rows: left.rows * Math.min(right.rows, 100) };
  }
}

/** Whether a lookup fetches rows by their whole keys. */
function fetchesRows({ index }: TableScan, single: boolean): boolean {
  return index === undefined ? single : !index.covering;
}

/** What of a scan the stores do. */
function withPushed(
  { head, details }: NodeText,
  pushed: { readonly words: string } | undefined,
): NodeText {
  if (pushed === undefined) return { head, details };
  return { head, details: [...details, `At Stores: ${pushed.words}`] };
}

function undefinedText(): NodeText {
  return { head: 'Result', details: [] };
}

function shownOperator(operator: Operator): Operator {
  let node = operator;
  while (node.text === undefined && node.inputs[0] !== undefined) node = node.inputs[0];
  return node;
}

function joinWord(type: PhysicalJoinType): string {
  switch (type) {
    case 'inner':
      return 'Join';
    case 'left':
      return 'Left Join';
    case 'right':
      return 'Right Join';
    case 'full':
      return 'Full Join';
    case 'semi':
      return 'Semi Join';
    case 'anti':
      return 'Anti Join';
  }
}

interface ColumnSpan {
  readonly from: number;
  readonly end: number;
}

function spanOf(tree: FromTree): ColumnSpan {
  if (tree.kind === 'item')
    return { from: tree.offset, end: tree.offset + tree.source.types.length };
  const [left, right] = [spanOf(tree.left), spanOf(tree.right)];
  return { from: Math.min(left.from, right.from), end: Math.max(left.end, right.end) };
}

/**
 * Takes inner joins apart, their conditions to the others. An outer join whose NULLs a predicate refuses is an inner one,
 * or one that keeps a single side.
 */
function flatten(tree: FromTree, all: Expression[], leaves: Leaf[]): void {
  const reduced = tree.kind === 'join' ? reduce(tree, all) : tree;
  if (reduced.kind === 'join' && reduced.type === 'inner') {
    all.push(...conjuncts(reduced.condition));
    flatten(reduced.left, all, leaves);
    flatten(reduced.right, all, leaves);
    return;
  }
  const span = spanOf(reduced);
  leaves.push({ tree: reduced, ...span, needs: lateralNeeds(reduced, span) });
}

function reduce(
  tree: Extract<FromTree, { kind: 'join' }>,
  all: readonly Expression[],
): Extract<FromTree, { kind: 'join' }> {
  if (tree.type === 'inner') return tree;
  const refuses = (side: FromTree) => {
    const span = spanOf(side);
    return all.some((one) => isNullOrFalse(one, span));
  };
  const nullsRight = tree.type === 'left' || tree.type === 'full';
  const nullsLeft = tree.type === 'right' || tree.type === 'full';
  const stillNullsRight = nullsRight && !refuses(tree.right);
  const stillNullsLeft = nullsLeft && !refuses(tree.left);
  if (stillNullsRight && stillNullsLeft) return tree;
  if (stillNullsRight) return { ...tree, type: 'left' };
  if (stillNullsLeft) return { ...tree, type: 'right' };
  return { ...tree, type: 'inner' };
}

/** The predicate does not hold where all columns of the span are NULL. */
function isNullOrFalse(one: Expression, span: ColumnSpan): boolean {
  const strict = (expression: Expression): boolean => {
    switch (expression.kind) {
      case 'column':
        return expression.index >= span.from && expression.index < span.end;
      case 'comparison':
        return strict(expression.left) || strict(expression.right);
      case 'cast':
      case 'length':
      case 'not':
        return strict(expression.argument);
      case 'call':
        return expression.signature.strict && expression.arguments.some(strict);
      case 'in':
        return strict(expression.left);
      default:
        return false;
    }
  };
  switch (one.kind) {
    case 'is-null':
      return one.negated && strict(one.argument);
    case 'and':
      return one.arguments.some((part) => isNullOrFalse(part, span));
    case 'or':
      return one.arguments.every((part) => isNullOrFalse(part, span));
    case 'boolean-test':
      return one.expected !== null && !one.negated && strict(one.argument);
    default:
      return strict(one);
  }
}

/** Columns outside of the tree that LATERAL items in it read. */
function lateralNeeds(tree: FromTree, span: ColumnSpan): readonly number[] {
  if (tree.kind === 'join') {
    const both = [...lateralNeeds(tree.left, span), ...lateralNeeds(tree.right, span)];
    return both.filter((column) => column < span.from || column >= span.end);
  }
  const columns: boolean[] = [];
  for (const one of tree.arguments) markColumns(one, columns);
  return Object.keys(columns).map(Number);
}

function columnsOf(expression: Expression): readonly number[] {
  const columns: boolean[] = [];
  markColumns(expression, columns);
  return Object.keys(columns).map(Number);
}

function holds(span: ColumnSpan, column: number): boolean {
  return column >= span.from && column < span.end;
}

function touches(expression: Expression, leaf: Leaf): boolean {
  return columnsOf(expression).some((column) => holds(leaf, column));
}

function isWithin(expression: Expression, span: ColumnSpan): boolean {
  return columnsOf(expression).every((column) => holds(span, column));
}

function isCovered(expression: Expression, done: readonly Leaf[]): boolean {
  return columnsOf(expression).every((column) => done.some((leaf) => holds(leaf, column)));
}

function shifted(expression: Expression, by: number): Expression {
  if (by === 0) return expression;
  if (expression.kind === 'column') return { ...expression, index: expression.index + by };
  return mapChildren(expression, (child) => shifted(child, by));
}

function localConditions(leaf: Leaf, conditions: readonly Expression[]): readonly Expression[] {
  return conditions.map((one) => shifted(one, -leaf.from));
}

/** `left = right` with one side over either part: sides in the order of the parts. */
function equality(
  one: Expression,
  left: readonly number[],
  right: readonly number[],
): ComparisonExpression | undefined {
  if (one.kind !== 'comparison' || one.operator !== '=') return undefined;
  const over = (side: Expression, layout: readonly number[]) => {
    const columns = columnsOf(side);
    return columns.length > 0 && columns.every((column) => (layout[column] ?? -1) >= 0);
  };
  if (sharedHashKey([one.left.type], [one.right.type]) === undefined) return undefined;
  if (over(one.left, left) && over(one.right, right)) return one;
  if (over(one.left, right) && over(one.right, left))
    return { ...one, left: one.right, right: one.left };
  return undefined;
}

/** What an expression over the leaf alone must equal, where the predicate says so with a value from elsewhere. */
function givenValue(condition: Expression, leaf: Leaf): GivenValue | undefined {
  if (condition.kind !== 'comparison' || condition.operator !== '=') return undefined;
  const { left, right } = condition;
  const own = (one: Expression) =>
    touches(one, leaf) && isWithin(one, { from: leaf.from, end: leaf.end });
  if (own(left) && !touches(right, leaf))
    return { condition, operand: shifted(left, -leaf.from), value: right };
  if (own(right) && !touches(left, leaf))
    return { condition, operand: shifted(right, -leaf.from), value: left };
  return undefined;
}
