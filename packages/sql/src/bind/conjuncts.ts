/** Predicates as lists of the conditions that must all hold. */
import { boolType } from '../types/type.ts';
import type { Expression } from './expression.ts';

export function conjuncts(expression: Expression | undefined): readonly Expression[] {
  if (expression === undefined) return [];
  return expression.kind === 'and' ? expression.arguments.flatMap(conjuncts) : [expression];
}

export function conjunction(all: readonly Expression[]): Expression | undefined {
  const [first] = all;
  if (first === undefined || all.length === 1) return first;
  return { kind: 'and', type: boolType, modifier: -1, location: undefined, arguments: all };
}
