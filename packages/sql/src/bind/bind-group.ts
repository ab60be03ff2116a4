/** GROUP BY: plain keys, GROUPING SETS, ROLLUP and CUBE, as the sets of keys by which rows are grouped. */
import type { GroupingSet, Node, SelectStmt } from 'libpg-query';
import { groupingSetsMax } from '../limits.ts';
import type { BindContext } from './context.ts';
import type { Expression } from './expression.ts';
import { expressionKey } from './expression-key.ts';

export interface GroupClause {
  /** Whether there was one. */
  readonly written: boolean;
  readonly keys: readonly Expression[];
  /** Offsets into `keys`; undefined: one set of all keys. */
  readonly sets: readonly (readonly number[])[] | undefined;
}

type KeySet = readonly number[];

/** @param bindKey throws what binding one key throws. Throws 54001 for too many sets. */
export function bindGroupClause(
  context: BindContext,
  statement: SelectStmt,
  bindKey: (node: Node) => Expression,
): GroupClause {
  const nodes = statement.groupClause ?? [];
  const keys: Expression[] = [];
  const known = new Map<string, number>();
  const key = (node: Node): number => {
    const bound = bindKey(node);
    const text = expressionKey(bound);
    const index = known.get(text) ?? keys.push(bound) - 1;
    known.set(text, index);
    return index;
  };
  const composite = (node: Node): KeySet => {
    if ('RowExpr' in node && node.RowExpr.row_format === 'COERCE_IMPLICIT_CAST')
      return (node.RowExpr.args ?? []).map(key);
    return [key(node)];
  };
  const setsOf = (node: Node): readonly KeySet[] =>
    'GroupingSet' in node ? expand(node.GroupingSet) : [composite(node)];
  const expand = (set: GroupingSet): readonly KeySet[] => {
    const content = set.content ?? [];
    switch (set.kind) {
      case 'GROUPING_SET_SETS':
        return content.flatMap(setsOf);
      case 'GROUPING_SET_ROLLUP':
        return prefixes(content.map(composite));
      case 'GROUPING_SET_CUBE':
        if (content.length > 12)
          throw context.error('54011', 'CUBE is limited to 12 elements', set.location);
        return subsets(content.map(composite));
      default:
        return [[]];
    }
  };
  const written = nodes.length > 0;
  if (!nodes.some((node) => 'GroupingSet' in node)) {
    for (const node of nodes) composite(node);
    return { written, keys, sets: undefined };
  }
  let sets: readonly KeySet[] = [[]];
  for (const node of nodes) {
    const alternatives = setsOf(node);
    if (sets.length * alternatives.length > groupingSetsMax)
      throw context.error(
        '54001',
        `too many grouping sets present (maximum ${groupingSetsMax})`,
        undefined,
      );
    sets = sets.flatMap((head) => alternatives.map((tail) => [...new Set([...head, ...tail])]));
  }
  if (statement.groupDistinct === true) {
    const seen = new Set<string>();
    sets = sets.filter((set) => {
      const text = [...set].sort((a, b) => a - b).join();
      return !seen.has(text) && seen.add(text);
    });
  }
  return { written, keys, sets };
}

function prefixes(parts: readonly KeySet[]): readonly KeySet[] {
  const all: KeySet[] = [];
  for (let length = parts.length; length >= 0; length--) all.push(parts.slice(0, length).flat());
  return all;
}

function subsets(parts: readonly KeySet[]): readonly KeySet[] {
  const all: KeySet[] = [];
  for (let mask = 2 ** parts.length - 1; mask >= 0; mask--)
    all.push(parts.filter((_part, i) => (mask & (1 << (parts.length - 1 - i))) !== 0).flat());
  return all;
}
