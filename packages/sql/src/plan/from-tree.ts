/** The tree of FROM: inner joins taken apart into leaves, and which columns of FROM's row a part or an expression touches. */
import { conjuncts } from '../bind/conjuncts.ts';
import type { Expression } from '../bind/expression.ts';
import { mapChildren, markColumns } from '../bind/expression-tree.ts';
import type { FromTree } from '../bind/relation.ts';

export type Item = Extract<FromTree, { kind: 'item' }>;

/** A part that joins with others in any order: an item, or an outer join as a whole. */
export interface Leaf {
  readonly tree: FromTree;
  readonly from: number;
  readonly end: number;
  /** Columns of other leaves that it must have at hand: LATERAL. */
  readonly needs: readonly number[];
}

export interface ColumnSpan {
  readonly from: number;
  readonly end: number;
}

export function spanOf(tree: FromTree): ColumnSpan {
  if (tree.kind === 'item')
    return { from: tree.offset, end: tree.offset + tree.source.types.length };
  const [left, right] = [spanOf(tree.left), spanOf(tree.right)];
  return { from: Math.min(left.from, right.from), end: Math.max(left.end, right.end) };
}

/**
 * Takes inner joins apart, their conditions to the others. An outer join whose NULLs a predicate refuses is an inner one,
 * or one that keeps a single side.
 */
export function flatten(tree: FromTree, all: Expression[], leaves: Leaf[]): void {
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
export function lateralNeeds(tree: FromTree, span: ColumnSpan): readonly number[] {
  if (tree.kind === 'join') {
    const both = [...lateralNeeds(tree.left, span), ...lateralNeeds(tree.right, span)];
    return both.filter((column) => column < span.from || column >= span.end);
  }
  const columns: boolean[] = [];
  for (const one of tree.arguments) markColumns(one, columns);
  return Object.keys(columns).map(Number);
}

export function columnsOf(expression: Expression): readonly number[] {
  const columns: boolean[] = [];
  markColumns(expression, columns);
  return Object.keys(columns).map(Number);
}

export function holds(span: ColumnSpan, column: number): boolean {
  return column >= span.from && column < span.end;
}

export function touches(expression: Expression, leaf: Leaf): boolean {
  return columnsOf(expression).some((column) => holds(leaf, column));
}

export function isWithin(expression: Expression, span: ColumnSpan): boolean {
  return columnsOf(expression).every((column) => holds(span, column));
}

export function isCovered(expression: Expression, done: readonly Leaf[]): boolean {
  return columnsOf(expression).every((column) => done.some((leaf) => holds(leaf, column)));
}

export function shifted(expression: Expression, by: number): Expression {
  if (by === 0) return expression;
  if (expression.kind === 'column') return { ...expression, index: expression.index + by };
  return mapChildren(expression, (child) => shifted(child, by));
}

export function localConditions(
  leaf: Leaf,
  conditions: readonly Expression[],
): readonly Expression[] {
  return conditions.map((one) => shifted(one, -leaf.from));
}
