/**
 * The tree of an SQL/JSON path. A path is a chain: its first node gives items, each further one is applied to every item
 * before it. Made by the parser; read by the printer and by `functions/json-path`. Immutable.
 */

/** Never empty. */
export type PathChain = readonly PathNode[];

export interface JsonPath {
  /** Structural errors are forgiven, arrays are unwrapped and scalars wrapped where it helps. */
  readonly lax: boolean;
  readonly chain: PathChain;
}

export type PathComparison = '==' | '!=' | '<' | '>' | '<=' | '>=';
export type PathArithmetic = '+' | '-' | '*' | '/' | '%';
export type PathMethod = 'type' | 'size' | 'abs' | 'floor' | 'ceiling' | 'double' | 'keyvalue';

/** True, false or unknown of an item. */
export type PathPredicate =
  | {
      readonly kind: 'and' | 'or';
      readonly left: PathPredicate;
      readonly right: PathPredicate;
    }
  | { readonly kind: 'not' | 'is unknown'; readonly operand: PathPredicate }
  | {
      readonly kind: 'comparison';
      readonly mark: PathComparison;
      readonly left: PathChain;
      readonly right: PathChain;
    }
  | { readonly kind: 'starts with'; readonly left: PathChain; readonly right: PathChain }
  | {
      readonly kind: 'like_regex';
      readonly operand: PathChain;
      readonly pattern: string;
      /** Of `ismxq`, in this order. */
      readonly flags: string;
    }
  | { readonly kind: 'exists'; readonly operand: PathChain };

export interface PathSubscript {
  readonly from: PathChain;
  /** Undefined: one element. */
  readonly to: PathChain | undefined;
}

/** A level of `**`; Infinity is `last`. */
export type PathLevel = number;

export type PathNode =
  | { readonly kind: 'literal'; readonly value: null | boolean }
  | { readonly kind: 'number'; readonly text: string }
  | { readonly kind: 'string'; readonly text: string }
  | { readonly kind: 'variable'; readonly text: string }
  | { readonly kind: 'root' }
  | { readonly kind: 'current' }
  | { readonly kind: 'last' }
  | { readonly kind: 'any element' }
  | { readonly kind: 'any member' }
  | { readonly kind: 'key'; readonly text: string }
  | { readonly kind: 'any level'; readonly first: PathLevel; readonly last: PathLevel }
  | { readonly kind: 'subscripts'; readonly subscripts: readonly PathSubscript[] }
  | { readonly kind: 'filter'; readonly predicate: PathPredicate }
  | { readonly kind: 'method'; readonly method: PathMethod }
  | { readonly kind: 'datetime'; readonly template: string | undefined }
  | {
      readonly kind: 'arithmetic';
      readonly mark: PathArithmetic;
      readonly left: PathChain;
      readonly right: PathChain;
    }
  | { readonly kind: 'sign'; readonly mark: '+' | '-'; readonly operand: PathChain }
  | PathPredicate;

/** Whether a node is a predicate: it is one boolean, and only the first of a chain may be one. */
export function isPredicate(node: PathNode): node is PathPredicate {
  switch (node.kind) {
    case 'and':
    case 'or':
    case 'not':
    case 'is unknown':
    case 'comparison':
    case 'starts with':
    case 'like_regex':
    case 'exists':
      return true;
    default:
      return false;
  }
}
