/** GROUP BY and aggregates over a planned input: in the gateway, and beforehand where the rows are. */
import type { Expression } from '../bind/expression.ts';
import { mapChildren } from '../bind/expression-tree.ts';
import type { Aggregate } from '../bind/relation.ts';
import type { AggregatePlan } from '../execute/aggregate-runner.ts';
import { AggregateOperator } from '../execute/group.ts';
import type { GroupingPlan } from '../execute/group-table.ts';
import { openIndexGroups } from '../execute/index-join.ts';
import type { NodeText, Operator } from '../execute/operator.ts';
import { openPushed } from '../execute/push/pushed-scan.ts';
import { FilterOperator } from '../execute/relational.ts';
import { ScanOperator } from '../execute/sources.ts';
import type { Compiler, Layout } from './compile.ts';
import { filterText, print } from './explain.ts';
import type { Planned, RelationPlanner } from './plan-relation.ts';
import { pushGroups } from './push.ts';
import { pushIndexGroups } from './push-join.ts';

type GroupPlanner = Pick<RelationPlanner, 'compiler' | 'scans' | 'locks'>;

/** Groups of what is planned. @param width columns of the rows that come out */
export function planGroups(
  planner: GroupPlanner,
  relation: Pick<Aggregate, 'keys' | 'aggregates' | 'sets'>,
  planned: Planned,
  { having, width }: { readonly having: Expression | undefined; readonly width: number },
): Planned {
  const { compiler } = planner;
  const { keys, aggregates, sets } = relation;
  const { layout } = planned;
  const head =
    keys.length === 0 ? 'Aggregate' : sets === undefined ? 'HashAggregate' : 'MixedAggregate';
  const text = (): NodeText => ({
    head,
    details: [
      ...groupKeyText(keys, sets),
      ...filterText(having),
      ...(parts === undefined ? [] : ['At Stores: groups of each range']),
    ],
  });
  const plan: GroupingPlan = {
    keys: keys.map((key) => compiler.evaluator(key, layout)),
    keyTypes: keys.map((key) => key.type),
    aggregates: aggregates.map((one) => aggregatePlan(compiler, one, layout)),
    sets,
  };
  const parts = pushedGroups(planner, planned.operator, relation, plan);
  let operator: Operator = new AggregateOperator(planned.operator, plan, text, parts);
  if (having !== undefined)
    operator = withoutText(new FilterOperator(operator, compiler.evaluator(having), text));
  const rows = keys.length === 0 ? 1 : Math.ceil(planned.rows / 10);
  return { operator, layout: undefined, width, rows };
}

/** Groups of parts of a scan, made where its rows are. */
function pushedGroups(
  planner: GroupPlanner,
  input: Operator,
  { keys, aggregates }: Pick<Aggregate, 'keys' | 'aggregates'>,
  plan: GroupingPlan,
): ConstructorParameters<typeof AggregateOperator>[3] {
  const facts = planner.scans.get(input);
  if (facts === undefined || !(input instanceof ScanOperator) || planner.locks !== undefined)
    return undefined;
  const own = (one: Expression): Expression => placedBy(one, -facts.offset);
  const { scan, filter, rows } = facts;
  const question = {
    scan,
    filter,
    rows,
    keys: keys.map(own),
    aggregates: aggregates.map((one) => ({
      ...one,
      arguments: one.arguments.map(own),
      filter: one.filter && own(one.filter),
    })),
    plan,
  };
  const joined = pushIndexGroups(question);
  if (joined !== undefined) return (run) => openIndexGroups(joined.join, joined.groups, run);
  const program = pushGroups(question);
  if (program === undefined) return undefined;
  return (run) => openPushed(program, run, { limit: undefined, inTurn: false });
}

export function aggregatePlan(
  compiler: Compiler,
  one: {
    readonly signature: AggregatePlan['signature'];
    readonly arguments: readonly Expression[];
    readonly distinct: boolean;
    readonly filter: Expression | undefined;
    readonly order: readonly {
      readonly expression: Expression;
      readonly descending: boolean;
      readonly nullsFirst: boolean;
    }[];
  },
  layout: Layout,
): AggregatePlan {
  return {
    signature: one.signature,
    arguments: one.arguments.map((argument) => compiler.evaluator(argument, layout)),
    argumentTypes: one.arguments.map((argument) => argument.type),
    distinct: one.distinct,
    filter: compiler.maybe(one.filter, layout),
    order: one.order.map(({ expression, descending, nullsFirst }, i) => ({
      key: compiler.evaluator(expression, layout),
      column: {
        output: one.arguments.length + i,
        type: expression.type,
        descending,
        nullsFirst,
      },
    })),
  };
}

function placedBy(expression: Expression, by: number): Expression {
  if (by === 0) return expression;
  if (expression.kind === 'column') return { ...expression, index: expression.index + by };
  return mapChildren(expression, (child) => placedBy(child, by));
}

function groupKeyText(keys: readonly Expression[], sets: Aggregate['sets']): string[] {
  const list = (some: readonly Expression[]) => some.map((key) => print(key)).join(', ');
  if (sets === undefined) return keys.length === 0 ? [] : [`Group Key: ${list(keys)}`];
  return sets.map((set) =>
    set.length === 0 ? 'Group Key: ()' : `Group Key: ${list(set.flatMap((i) => keys[i] ?? []))}`,
  );
}

function withoutText(operator: Operator): Operator {
  return {
    inputs: operator.inputs,
    text: undefined,
    open: (run, enough) => operator.open(run, enough),
  };
}
