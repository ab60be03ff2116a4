/** One item of FROM by itself: a scan of a table, a query, a function. */
import { conjunction } from '../bind/conjuncts.ts';
import type { Expression } from '../bind/expression.ts';
import { markColumns } from '../bind/expression-tree.ts';
import type { TableSource, VirtualSourceTable } from '../bind/relation.ts';
import type { NodeText, Operator } from '../execute/operator.ts';
import { FilterOperator } from '../execute/relational.ts';
import {
  FunctionOperator,
  type JoinedSource,
  type PushedSource,
  ScanOperator,
  VirtualScanOperator,
} from '../execute/sources.ts';
import { choosePath } from './choose-path.ts';
import { filterText, scanText, tableText } from './explain.ts';
import { type Ordering, type Part, placed } from './from-part.ts';
import { type Item, shifted } from './from-tree.ts';
import type { Planned, RelationPlanner } from './plan-relation.ts';
import { compileScan } from './plan-table.ts';
import { type Probe, type PushedScan, pushScan, type ScanQuestion } from './push.ts';
import { type PushedJoin, pushIndexJoin } from './push-join.ts';
import { movedOrder, scanOrder, withConditions } from './row-order.ts';

export class ItemPlanner {
  private readonly planner: RelationPlanner;
  private readonly total: number;

  constructor(planner: RelationPlanner, total: number) {
    this.planner = planner;
    this.total = total;
  }

  item(
    item: Item,
    conditions: readonly Expression[],
    required: readonly boolean[],
    ordering?: Ordering,
  ): Part {
    const { source, offset } = item;
    const width = source.types.length;
    const layout = placed(this.total, offset, width, (i) => i);
    const local = conditions.map((one) => shifted(one, -offset));
    if (source.kind === 'table')
      return this.tableScan(item, source, local, { required, layout, ordering, conditions });
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
        : placed(this.total, offset, width, (i) => planned.layout?.[i] ?? -1);
    const part: Part = { ...planned, layout: places, order: movedOrder(planned.order, offset) };
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
      /** As `local`, over FROM's row. */
      readonly conditions: readonly Expression[];
    },
  ): Part {
    const { ordering, required, layout, conditions } = options;
    const { table } = source;
    const { compiler, sources } = this.planner;
    const needed = table.columns.map((_column, i) => required[item.offset + i] === true);
    const where = conjunction(local);
    const wanted = ordering && { ...ordering, offset: item.offset };
    const path = choosePath({ table, where, needed, order: wanted, sources });
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
      pushed && this.pushedSource(pushed),
    );
    this.planner.scans.set(operator, { ...question, offset: item.offset });
    const order = scanOrder(table, path, {
      reverse: scan.reverse,
      offset: item.offset,
      end: item.offset + source.types.length,
    });
    const width = source.types.length;
    return { operator, layout, width, rows: path.rows, order: withConditions(order, conditions) };
  }

  /** What stores do of a scan, if they do any of it. @param probes as of `pushScan` */
  pushed(question: ScanQuestion, probes?: readonly Probe[]): PushedScan | PushedJoin | undefined {
    if (this.planner.locks !== undefined) return undefined;
    return pushScan(question, probes) ?? pushIndexJoin(question, probes);
  }

  pushedSource(pushed: PushedScan | PushedJoin): PushedSource | JoinedSource {
    const rest = this.planner.compiler.maybe(pushed.rest);
    return 'join' in pushed ? { join: pushed.join, rest } : { program: pushed.program, rest };
  }

  /** With what is left of the conditions over it. */
  filtered(part: Part, conditions: readonly Expression[]): Part {
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
      open: (run, ...hints) => filter.open(run, ...hints),
    };
    const rows = Math.max(1, part.rows / 3);
    return { ...part, operator, rows, order: withConditions(part.order, conditions) };
  }
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
