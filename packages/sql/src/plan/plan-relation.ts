/** From logical to physical: every operator of a query but the joins, which are plan-from.ts's business. */

import type { BoundWrite } from '../bind/bound.ts';
import { conjunction, conjuncts } from '../bind/conjuncts.ts';
import { column, type Expression } from '../bind/expression.ts';
import { markColumns } from '../bind/expression-tree.ts';
import type {
  Aggregate,
  Cte,
  CteScan,
  Limit,
  LockStrength,
  Project,
  ProjectSet,
  Relation,
  Sort,
  SortKey,
  With,
} from '../bind/relation.ts';
import {
  CteScanOperator,
  type PlannedCte,
  RecursiveOperator,
  WithOperator,
} from '../execute/cte.ts';
import { DistinctOperator, UniqueOperator } from '../execute/distinct.ts';
import { LockRowsOperator } from '../execute/lock-rows.ts';
import type { Operator } from '../execute/operator.ts';
import { ProjectSetOperator } from '../execute/project-set.ts';
import {
  AppendOperator,
  FilterOperator,
  FirstRowsOperator,
  LimitOperator,
  PickOperator,
  ProjectOperator,
  SortOperator,
} from '../execute/relational.ts';
import { SetOperationOperator } from '../execute/set-operation.ts';
import { OneRowOperator, ValuesOperator } from '../execute/sources.ts';
import { type WriteNode, WriteOperator } from '../execute/write-node.ts';
import { boolType } from '../types/type.ts';
import type { PlanSources } from './choose-path.ts';
import { Compiler, type Layout } from './compile.ts';
import { filterText, print, sortKeyText } from './explain.ts';
import type { NamedPlan } from './explain-node.ts';
import type { Ordering } from './from-part.ts';
import type { SortColumn } from './plan.ts';
import { planFrom } from './plan-from.ts';
import { planGroups } from './plan-groups.ts';
import { storeOf } from './plan-table.ts';
import { planWindows } from './plan-window.ts';
import type { ScanQuestion } from './push.ts';
import { projectedOrder, type RowOrder, sortedOrder } from './row-order.ts';

/** A planned relation: its physical row, and how many rows it may have. */
export interface Planned {
  readonly operator: Operator;
  readonly layout: Layout;
  /** Columns of the physical row. */
  readonly width: number;
  /** A guess, by statistics where there are some. */
  readonly rows: number;
  /** Over the relation's columns. Undefined: none is known. */
  readonly order?: RowOrder | undefined;
}

export class RelationPlanner {
  readonly compiler: Compiler;
  /** Set when something that was planned locks rows. */
  locks: LockStrength | undefined;
  /** Named queries, for EXPLAIN. */
  readonly named: NamedPlan[] = [];
  readonly sources: PlanSources;
  /** Scans of tables: their conditions, and where the table's columns begin in the row of FROM. */
  readonly scans: Map<Operator, ScanQuestion & { readonly offset: number }> = new Map();
  private readonly planWrite: (write: BoundWrite) => WriteNode;

  constructor(planWrite: (write: BoundWrite) => WriteNode, sources: PlanSources) {
    this.compiler = new Compiler((query) => this.dense(query).operator);
    this.sources = sources;
    this.planWrite = planWrite;
  }

  /** Every column in its place. */
  dense(relation: Relation): Planned {
    const required = relation.types.map(() => true);
    return this.densely(relation, this.plan(relation, required));
  }

  private densely(relation: Relation, planned: Planned): Planned {
    const { layout, width } = planned;
    const { length } = relation.types;
    if (layout === undefined && width === length) return planned;
    const columns = relation.types.map((_type, i) =>
      layout === undefined ? i : (layout[i] ?? -1),
    );
    return {
      ...planned,
      operator: new PickOperator(planned.operator, columns),
      layout: undefined,
      width: length,
    };
  }

  /** Rows of operators, for EXPLAIN. */
  readonly estimates: Map<Operator, number> = new Map();

  /** Takes note of how many rows a planned part may have. */
  noted<P extends Planned>(planned: P): P {
    let shown = planned.operator;
    while (shown.text === undefined && shown.inputs[0] !== undefined)
      [shown] = shown.inputs as [Operator];
    if (!this.estimates.has(shown)) this.estimates.set(shown, planned.rows);
    return planned;
  }

  /** @param required columns that anything above reads */
  plan(relation: Relation, required: readonly boolean[]): Planned {
    return this.noted(this.planned(relation, required));
  }

  private planned(relation: Relation, required: readonly boolean[]): Planned {
    switch (relation.kind) {
      case 'one-row':
        return { operator: new OneRowOperator(), layout: undefined, width: 0, rows: 1 };
      case 'from':
        return planFrom(this, relation, required);
      case 'values': {
        const rows = relation.rows.map((row) => row.map((one) => this.compiler.evaluator(one)));
        const operator = new ValuesOperator(rows, () => ({
          head: 'Values Scan on "*VALUES*"',
          details: [],
        }));
        return { operator, layout: undefined, width: relation.types.length, rows: rows.length };
      }
      case 'filter':
        return this.filter(relation.input, relation.condition, required);
      case 'aggregate':
        return this.aggregate(relation, undefined);
      case 'window':
        return planWindows(this, relation, required);
      case 'project':
        return this.project(relation, required);
      case 'project-set':
        return this.projectSet(relation, required);
      case 'distinct':
        return this.distinct(relation);
      case 'sort':
        return this.sort(relation);
      case 'limit': {
        const input = this.limited(relation);
        const operator = new LimitOperator(input.operator, {
          limit: this.compiler.maybe(relation.limit),
          offset: this.compiler.maybe(relation.offset),
          ties:
            relation.ties === undefined ? undefined : sortColumns(relation.ties, relation.types),
        });
        const { limit } = relation;
        const most = limit?.kind === 'constant' && limit.value !== null ? Number(limit.value) : 100;
        return { ...input, operator, rows: Math.min(input.rows, most) };
      }
      case 'lock': {
        // First: what is locked is read as it is.
        this.locks ??= relation.targets[0]?.strength;
        const input = this.dense(relation.input);
        const locks = relation.targets.map(({ table, columns, mode, wait }) => ({
          store: storeOf(table),
          columns,
          mode,
          wait,
        }));
        // A row that was changed meanwhile is locked as it is now.
        const operator = new LockRowsOperator(input.operator, locks);
        return { ...input, operator, order: undefined };
      }
      case 'narrow': {
        const input = this.dense(relation.input);
        const columns = relation.types.map((_type, i) => i);
        const operator = new PickOperator(input.operator, columns);
        return { ...input, operator, width: columns.length, order: undefined };
      }
      case 'set-operation': {
        const left = this.dense(relation.left);
        const right = this.dense(relation.right);
        const { types, operation, all } = relation;
        const rows = left.rows + right.rows;
        const width = types.length;
        if (operation !== 'union') {
          const inputs = [left.operator, right.operator] as const;
          const operator = new SetOperationOperator(inputs, operation, all, types);
          return { operator, layout: undefined, width, rows };
        }
        const append = new AppendOperator([
          ...appended(left.operator),
          ...appended(right.operator),
        ]);
        const operator = all
          ? append
          : new DistinctOperator(append, types, () => ({
              head: 'HashAggregate',
              details: [],
            }));
        return { operator, layout: undefined, width, rows };
      }
      case 'with':
        return this.with(relation, required);
      case 'cte':
        return this.cteScan(relation, required);
    }
  }

  /** What LIMIT stands over: an order that is only needed for its first rows. */
  private limited({ input, limit, offset, ties }: Limit): Planned {
    if (input.kind !== 'sort' || ties !== undefined) return this.dense(input);
    const known = (one: Expression | undefined, otherwise: number) =>
      one?.kind === 'constant' && one.value !== null ? Number(one.value) : otherwise;
    const most = limit === undefined ? undefined : known(limit, 100) + known(offset, 0);
    return this.densely(input, this.noted(this.sort(input, most)));
  }

  /** The queries of a WITH that have to be kept while the rest runs. */
  ctes(ctes: readonly Cte[]): PlannedCte[] {
    const planned: PlannedCte[] = [];
    for (const cte of ctes) {
      const { body } = cte;
      if (body === undefined || isInlined(cte)) continue;
      if (body.kind !== 'write' && cte.references === 0) continue;
      const operator = this.cteBody(cte, body);
      this.named.push({ title: `CTE ${cte.name}`, operator });
      planned.push({ cte, operator, writes: body.kind === 'write' });
    }
    return planned;
  }

  private cteBody(cte: Cte, body: NonNullable<Cte['body']>): Operator {
    if (body.kind === 'query') return this.dense(body.relation).operator;
    if (body.kind === 'write') return new WriteOperator(this.planWrite(body.write));
    const initial = this.dense(body.initial).operator;
    const step = this.dense(body.step).operator;
    return new RecursiveOperator(cte, [initial, step], body.all ? undefined : cte.types);
  }

  private with(relation: With, required: readonly boolean[]): Planned {
    const ctes = this.ctes(relation.ctes);
    const input = this.plan(relation.input, required);
    if (ctes.length === 0) return input;
    return { ...input, operator: new WithOperator(ctes, input.operator) };
  }

  private cteScan(scan: CteScan, required: readonly boolean[]): Planned {
    const { cte, working } = scan;
    if (!working && isInlined(cte) && cte.body?.kind === 'query')
      return this.plan(cte.body.relation, required);
    const head = `${working ? 'WorkTable' : 'CTE'} Scan on ${cte.name}`;
    const operator = new CteScanOperator(cte, working, () => ({ head, details: [] }));
    return { operator, layout: undefined, width: scan.types.length, rows: 1_000 };
  }

  private filter(input: Relation, condition: Expression, required: readonly boolean[]): Planned {
    if (input.kind === 'aggregate') return this.aggregate(input, condition);
    const needed = [...required];
    markColumns(condition, needed);
    const planned = this.plan(input, needed);
    const operator = new FilterOperator(
      planned.operator,
      this.compiler.evaluator(condition, planned.layout),
      () => merged(planned.operator, condition),
    );
    return { ...planned, operator: hideInput(operator), rows: Math.ceil(planned.rows / 3) };
  }

  private project(relation: Project, required: readonly boolean[], ordering?: Ordering): Planned {
    const { input, outputs } = relation;
    const needed = input.types.map(() => false);
    outputs.forEach((output, i) => {
      if (required[i] === true) markColumns(output, needed);
    });
    const planned =
      ordering === undefined || input.kind !== 'from'
        ? this.plan(input, needed)
        : planFrom(this, input, needed, ordering);
    const { layout, width, rows } = planned;
    const order = projectedOrder(planned.order, outputs);
    const places = outputs.map((output) =>
      output.kind === 'column' ? (layout === undefined ? output.index : layout[output.index]) : -1,
    );
    if (width === outputs.length && places.every((place, i) => place === i))
      return { ...planned, layout: undefined, order };
    const compiled = outputs.map((output, i) =>
      required[i] === true ? this.compiler.evaluator(output, layout) : () => null,
    );
    const operator = new ProjectOperator(planned.operator, compiled);
    return { operator, layout: undefined, width: outputs.length, rows, order };
  }

  /**
   * Only min and max over one table, each by a key that has the values in order: an input of one row, with the extremes in
   * the places of its columns. Undefined: it cannot be done so.
   */
  private extremes(relation: Aggregate): Planned | undefined {
    const { input, keys, aggregates, sets } = relation;
    if (keys.length > 0 || sets !== undefined || input.kind !== 'from') return undefined;
    if (input.tree.kind !== 'item' || input.tree.source.kind !== 'table') return undefined;
    const { where } = input;
    const inputs: Operator[] = [];
    for (const { signature, arguments: values, distinct, filter } of aggregates) {
      const [value] = values;
      if (signature.name !== 'min' && signature.name !== 'max') return undefined;
      if (value === undefined || value.kind === 'constant' || distinct || filter !== undefined)
        return undefined;
      const notNull = isNotNull(value);
      const from = { ...input, where: conjunction([...conjuncts(where), notNull]) };
      const project: Project = {
        kind: 'project',
        input: from,
        outputs: [value],
        types: [value.type],
      };
      const descending = signature.name === 'max';
      const sortKeys = [{ output: 0, descending, nullsFirst: descending }];
      const wanted: Ordering = { keys: sortKeys, outputs: [value], limit: 1, found: false };
      const planned = this.project(project, [true], wanted);
      if (!wanted.found) return undefined;
      inputs.push(this.densely(project, planned).operator);
    }
    const operator = new FirstRowsOperator(inputs);
    return { operator, layout: undefined, width: inputs.length, rows: 1 };
  }

  private aggregate(relation: Aggregate, having: Expression | undefined): Planned {
    const extremes = this.extremes(relation);
    if (extremes !== undefined) {
      const { types } = relation;
      const one = {
        ...relation,
        aggregates: relation.aggregates.map((each, i) => {
          const [value] = each.arguments;
          return value === undefined ? each : { ...each, arguments: [column(value.type, i)] };
        }),
      };
      return planGroups(this, one, extremes, { having, width: types.length });
    }
    const { input, keys, aggregates } = relation;
    const needed = input.types.map(() => false);
    for (const one of [...keys, ...aggregates]) markColumns(one, needed);
    return planGroups(this, relation, this.plan(input, needed), {
      having,
      width: relation.types.length,
    });
  }

  private projectSet(relation: ProjectSet, required: readonly boolean[]): Planned {
    const { input, sets, ordinality, types } = relation;
    const needed = input.types.map((_type, i) => required[i] === true);
    for (const set of sets) for (const one of set.arguments) markColumns(one, needed);
    const planned = this.plan(input, needed);
    const { layout, width } = planned;
    const operator = new ProjectSetOperator(
      planned.operator,
      {
        sets: sets.map((set) => ({
          signature: set.signature,
          arguments: set.arguments.map((one) => this.compiler.evaluator(one, layout)),
          types: set.arguments.map((one) => one.type),
          width: set.width,
        })),
        ordinality,
        inputWidth: width,
      },
      () => ({ head: 'ProjectSet', details: [] }),
    );
    const added = types.length - input.types.length;
    const places = input.types.map((_type, i) => (layout === undefined ? i : (layout[i] ?? -1)));
    return {
      operator,
      layout: [...places, ...Array.from({ length: added }, (_none, i) => width + i)],
      width: width + added,
      rows: planned.rows * 10,
    };
  }

  private distinct(relation: Extract<Relation, { kind: 'distinct' }>): Planned {
    const { input, on, types } = relation;
    const planned = this.dense(input);
    const operator =
      on === undefined
        ? new DistinctOperator(planned.operator, types, () => ({
            head: 'HashAggregate',
            details: [
              `Group Key: ${types.map((_type, i) => print(outputOf(input, i))).join(', ')}`,
            ],
          }))
        : new UniqueOperator(planned.operator, types, on);
    return { ...planned, operator, order: on === undefined ? undefined : planned.order };
  }

  /** @param limit rows that are enough; undefined: all */
  private sort(relation: Sort, limit?: number): Planned {
    const { input, keys, types } = relation;
    if (input.kind === 'project' && input.input.kind === 'from') {
      const wanted: Ordering = { keys, outputs: input.outputs, limit, found: false };
      const required = types.map(() => true);
      const ordered = this.project(input, required, wanted);
      return wanted.found ? ordered : this.sorted(ordered, relation);
    }
    return this.sorted(this.dense(input), relation);
  }

  private sorted(planned: Planned, { input, keys, types }: Sort): Planned {
    const operator = new SortOperator(planned.operator, sortColumns(keys, types), () => ({
      head: 'Sort',
      details: [
        `Sort Key: ${keys.map((key) => sortKeyText(key, print(outputOf(input, key.output)))).join(', ')}`,
      ],
    }));
    return { ...planned, operator, order: sortedOrder(keys, types) };
  }
}

function isNotNull(argument: Expression): Expression {
  const { location } = argument;
  return { kind: 'is-null', type: boolType, modifier: -1, location, negated: true, argument };
}

function isInlined(cte: Cte): boolean {
  return cte.body?.kind === 'query' && cte.inline && (cte.references === 1 || cte.references < 0);
}

function sortColumns(keys: readonly SortKey[], types: Relation['types']): SortColumn[] {
  return keys.map((key) => {
    const type = types[key.output];
    if (type === undefined) throw new RangeError('sort key is a column');
    return { ...key, type };
  });
}

function appended(operator: Operator): readonly Operator[] {
  return operator instanceof AppendOperator ? operator.inputs : [operator];
}

/** What a column of a relation is computed from, for EXPLAIN. */
function outputOf(relation: Relation, index: number): Expression {
  switch (relation.kind) {
    case 'project': {
      const output = relation.outputs[index];
      if (output !== undefined) return output;
      break;
    }
    case 'distinct':
    case 'sort':
    case 'limit':
    case 'lock':
    case 'narrow':
    case 'filter':
    case 'with':
      return outputOf(relation.input, index);
    case 'set-operation':
      return outputOf(relation.left, index);
    default:
      break;
  }
  const [type] = relation.types.slice(index);
  if (type === undefined) throw new RangeError('column of a relation');
  return column(type, index);
}

/** EXPLAIN shows a filter with the node whose rows it filters. */
function merged(input: Operator, condition: Expression) {
  let node = input;
  while (node.text === undefined && node.inputs[0] !== undefined)
    [node] = node.inputs as [Operator];
  const { head, details } = node.text?.() ?? { head: 'Result', details: [] };
  return { head, details: [...details, ...filterText(condition)] };
}

function hideInput(operator: FilterOperator): Operator {
  const [input] = operator.inputs;
  let node = input;
  while (node !== undefined && node.text === undefined) [node] = node.inputs;
  return {
    inputs: node?.inputs ?? [],
    text: operator.text,
    open: (run) => operator.open(run),
  };
}
