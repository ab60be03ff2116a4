/** Window functions: those with one order share an operator. */

import type { Expression, WindowExpression } from '../bind/expression.ts';
import { windowOrderKey } from '../bind/expression-key.ts';
import { markColumns } from '../bind/expression-tree.ts';
import type { Window } from '../bind/relation.ts';
import { WindowOperator } from '../execute/window.ts';
import type { FramePlan } from '../execute/window-frames.ts';
import type { Compiler } from './compile.ts';
import { print, sortKeyText } from './explain.ts';
import { aggregatePlan } from './plan-groups.ts';
import type { Planned, RelationPlanner } from './plan-relation.ts';

/** @param required columns that anything above reads */
export function planWindows(
  planner: Pick<RelationPlanner, 'compiler' | 'plan'>,
  relation: Window,
  required: readonly boolean[],
): Planned {
  const { input, functions } = relation;
  const needed = input.types.map((_type, i) => required[i] === true);
  for (const one of functions) markColumns(one, needed);
  let planned = planner.plan(input, needed);
  const layout = input.types.map((_type, i) =>
    planned.layout === undefined ? i : (planned.layout[i] ?? -1),
  );
  const groups = new Map<string, WindowExpression[]>();
  for (const one of functions) {
    const key = windowOrderKey(one.window);
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  const places = new Map<WindowExpression, number>();
  for (const members of groups.values()) {
    for (const one of members) places.set(one, planned.width + members.indexOf(one));
    planned = windowGroup(planner.compiler, planned, members, layout);
  }
  const all = [...layout, ...functions.map((one) => places.get(one) ?? -1)];
  return { ...planned, layout: all, order: undefined };
}

/** Functions whose windows have one order. */
function windowGroup(
  compiler: Compiler,
  input: Planned,
  members: readonly WindowExpression[],
  layout: readonly number[],
): Planned {
  const [first] = members;
  if (first === undefined) return input;
  const { partition, order } = first.window;
  const compiled = (one: Expression) => compiler.evaluator(one, layout);
  const plan = {
    keys: [...partition, ...order.map((item) => item.expression)].map(compiled),
    partition: partition.map((one, i) => ({
      output: input.width + i,
      type: one.type,
      descending: false,
      nullsFirst: false,
    })),
    order: order.map(({ expression, descending, nullsFirst }, i) => ({
      output: input.width + partition.length + i,
      type: expression.type,
      descending,
      nullsFirst,
    })),
    functions: members.map((one) => ({
      arguments: one.arguments.map(compiled),
      frame: framePlan(compiler, one),
      function:
        one.function.kind === 'window'
          ? { kind: 'window' as const, name: one.function.signature.name }
          : {
              kind: 'aggregate' as const,
              aggregate: aggregatePlan(
                compiler,
                {
                  signature: one.function.signature,
                  arguments: one.arguments,
                  distinct: false,
                  filter: one.filter,
                  order: [],
                },
                layout,
              ),
            },
    })),
  };
  const operator = new WindowOperator(input.operator, plan, input.width, () => ({
    head: 'WindowAgg',
    details: [
      ...(partition.length === 0
        ? []
        : [`Partition By: ${partition.map((one) => print(one)).join(', ')}`]),
      ...(order.length === 0
        ? []
        : [
            `Order By: ${order.map((item) => sortKeyText(item, print(item.expression))).join(', ')}`,
          ]),
    ],
  }));
  return { ...input, operator, width: input.width + members.length };
}

function framePlan(compiler: Compiler, { window }: WindowExpression): FramePlan {
  const { mode, start, end, exclude } = window.frame;
  const bound = (one: typeof start) => ({
    kind: one.kind,
    offset: 'offset' in one ? compiler.evaluator(one.offset) : undefined,
  });
  return { mode, start: bound(start), end: bound(end), exclude };
}
