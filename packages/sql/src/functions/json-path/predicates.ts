/**
 * Predicates of an SQL/JSON path: true, false or unknown of an item. Operands are sequences, and one pair that passes is
 * enough. The evaluator computes operands and calls this; nothing here changes its state.
 */
import type { TextContext } from '../../types/codec.ts';
import type { PathChain, PathPredicate } from '../../types/json-path/nodes.ts';
import { regexpFlags } from '../../types/json-path/parser.ts';
import { compileRegexp, testRegexp } from '../regexps.ts';
import { compareItems, type Truth } from './compare.ts';
import type { PathItem, PathOutcome } from './items.ts';

/** What predicates need of the run. */
export interface PredicateHost {
  readonly lax: boolean;
  /** Undefined: no time zone may be used. */
  readonly zoned: TextContext | undefined;
  /** The operand's items; undefined: an error that was suppressed. */
  operandOf(chain: PathChain, item: PathItem, unwrap: boolean): readonly PathItem[] | undefined;
  existsIn(chain: PathChain, item: PathItem): PathOutcome;
  deeper<T>(run: () => T): T;
}

/** Throws 0A000, 42704, 54001. */
export function truthOf(host: PredicateHost, node: PathPredicate, item: PathItem): Truth {
  return host.deeper(() => predicate(host, node, item));
}

function predicate(host: PredicateHost, node: PathPredicate, item: PathItem): Truth {
  switch (node.kind) {
    case 'and': {
      const left = truthOf(host, node.left, item);
      if (left === false) return false;
      const right = truthOf(host, node.right, item);
      return right === true ? left : right;
    }
    case 'or': {
      const left = truthOf(host, node.left, item);
      if (left === true) return true;
      const right = truthOf(host, node.right, item);
      return right === false ? left : right;
    }
    case 'not': {
      const truth = truthOf(host, node.operand, item);
      return truth === undefined ? undefined : !truth;
    }
    case 'is unknown':
      return truthOf(host, node.operand, item) === undefined;
    case 'exists': {
      const outcome = host.existsIn(node.operand, item);
      return outcome === 'failed' ? undefined : outcome === 'some';
    }
    case 'comparison':
      return anyPair(
        host,
        host.operandOf(node.left, item, true),
        () => host.operandOf(node.right, item, true),
        (a, b) => compareItems(node.mark, a, b, host.zoned),
      );
    case 'starts with':
      return anyPair(
        host,
        host.operandOf(node.left, item, true),
        () => host.operandOf(node.right, item, false),
        (a, b) => (typeof a === 'string' && typeof b === 'string' ? a.startsWith(b) : undefined),
      );
    default: {
      const regexp = compileRegexp(node.pattern, regexpFlags(node.flags));
      return anyPair(
        host,
        host.operandOf(node.operand, item, true),
        () => [null],
        (a) => (typeof a === 'string' ? testRegexp(a, regexp) : undefined),
      );
    }
  }
}

/** True if a pair of the operands' items passes; strict paths test all pairs, for one of them may be unknown. */
function anyPair(
  { lax }: PredicateHost,
  left: readonly PathItem[] | undefined,
  rightItems: () => readonly PathItem[] | undefined,
  test: (a: PathItem, b: PathItem) => Truth,
): Truth {
  if (left === undefined) return undefined;
  const right = rightItems();
  if (right === undefined) return undefined;
  let found = false;
  let unknown = false;
  for (const a of left)
    for (const b of right) {
      const truth = test(a, b);
      if (truth === undefined) {
        if (!lax) return undefined;
        unknown = true;
      } else if (truth) {
        if (lax) return true;
        found = true;
      }
    }
  return found ? true : unknown ? undefined : false;
}
