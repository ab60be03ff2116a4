/** Walks over expressions: their children, the same expression over others, what is anywhere below. */
import type {
  Expression,
  FrameBound,
  OrderItem,
  WindowDefinition,
  WindowFrame,
} from './expression.ts';

export function children(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case 'constant':
    case 'parameter':
    case 'column':
    case 'argument':
      return [];
    case 'call':
    case 'concat':
    case 'and':
    case 'or':
    case 'coalesce':
    case 'extreme':
    case 'grouping':
    case 'set':
      return expression.arguments;
    case 'subquery':
      return [...expression.arguments, ...expression.operands];
    case 'window':
      return [
        ...expression.arguments,
        ...(expression.filter === undefined ? [] : [expression.filter]),
        ...expression.window.partition,
        ...expression.window.order.map((item) => item.expression),
        ...frameOffsets(expression.window.frame),
      ];
    case 'cast':
    case 'length':
    case 'not':
    case 'is-null':
    case 'boolean-test':
      return [expression.argument];
    case 'comparison':
    case 'distinct':
      return [expression.left, expression.right];
    case 'in':
      return [expression.left, ...expression.items];
    case 'case':
      return [
        ...expression.branches.flatMap((branch) => [branch.when, branch.result]),
        ...(expression.otherwise === undefined ? [] : [expression.otherwise]),
      ];
    case 'nullif':
      return [expression.comparison, expression.left];
    case 'aggregate':
      return [
        ...expression.arguments,
        ...expression.order.map((item) => item.expression),
        ...(expression.filter === undefined ? [] : [expression.filter]),
      ];
  }
}

function frameOffsets(frame: WindowFrame): readonly Expression[] {
  return [frame.start, frame.end].flatMap((bound) => ('offset' in bound ? [bound.offset] : []));
}

/** A window over other expressions. */
export function mapWindow(
  window: WindowDefinition,
  map: (child: Expression) => Expression,
): WindowDefinition {
  const bound = (one: FrameBound): FrameBound =>
    'offset' in one ? { ...one, offset: map(one.offset) } : one;
  return {
    partition: window.partition.map(map),
    order: mapOrder(window.order, map),
    frame: { ...window.frame, start: bound(window.frame.start), end: bound(window.frame.end) },
  };
}

function mapOrder(
  order: readonly OrderItem[],
  map: (child: Expression) => Expression,
): readonly OrderItem[] {
  return order.map((item) => ({ ...item, expression: map(item.expression) }));
}

/** The same expression over other children. */
export function mapChildren(
  expression: Expression,
  map: (child: Expression) => Expression,
): Expression {
  switch (expression.kind) {
    case 'constant':
    case 'parameter':
    case 'column':
    case 'argument':
      return expression;
    case 'call':
    case 'concat':
    case 'and':
    case 'or':
    case 'coalesce':
    case 'extreme':
    case 'grouping':
    case 'set':
      return { ...expression, arguments: expression.arguments.map(map) };
    case 'subquery':
      return {
        ...expression,
        arguments: expression.arguments.map(map),
        operands: expression.operands.map(map),
      };
    case 'window':
      return {
        ...expression,
        arguments: expression.arguments.map(map),
        filter: expression.filter === undefined ? undefined : map(expression.filter),
        window: mapWindow(expression.window, map),
      };
    case 'cast':
    case 'length':
    case 'not':
    case 'is-null':
    case 'boolean-test':
      return { ...expression, argument: map(expression.argument) };
    case 'comparison':
    case 'distinct':
      return { ...expression, left: map(expression.left), right: map(expression.right) };
    case 'in':
      return { ...expression, left: map(expression.left), items: expression.items.map(map) };
    case 'case':
      return {
        ...expression,
        branches: expression.branches.map(({ when, result }) => ({
          when: map(when),
          result: map(result),
        })),
        otherwise: expression.otherwise === undefined ? undefined : map(expression.otherwise),
      };
    case 'nullif': {
      const { comparison: inner } = expression;
      return {
        ...expression,
        comparison: { ...inner, left: map(inner.left), right: map(inner.right) },
        left: map(expression.left),
      };
    }
    case 'aggregate':
      return {
        ...expression,
        arguments: expression.arguments.map(map),
        order: mapOrder(expression.order, map),
        filter: expression.filter === undefined ? undefined : map(expression.filter),
      };
  }
}

/** Where an expression begins in the source text: an operator's own place lies behind its left operand. */
export function startOf(expression: Expression): number | undefined {
  const [first] = children(expression);
  const inner = first === undefined ? undefined : startOf(first);
  const { location } = expression;
  if (location === undefined || location < 0) return inner;
  return inner === undefined ? location : Math.min(location, inner);
}

export function some(expression: Expression, test: (node: Expression) => boolean): boolean {
  return test(expression) || children(expression).some((child) => some(child, test));
}

/** No column and no aggregate in it: one value for a whole run of its query. */
export function isRowIndependent(expression: Expression): boolean {
  return !some(expression, dependsOnRows);
}

function dependsOnRows(node: Expression): boolean {
  return (
    node.kind === 'column' ||
    node.kind === 'aggregate' ||
    node.kind === 'window' ||
    node.kind === 'grouping' ||
    node.kind === 'set'
  );
}

/** Marks the columns that an expression reads. */
export function markColumns(expression: Expression, needed: boolean[]): void {
  if (expression.kind === 'column') needed[expression.index] = true;
  else for (const child of children(expression)) markColumns(child, needed);
}
