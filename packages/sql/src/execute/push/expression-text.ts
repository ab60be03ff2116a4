/**
 * Expressions as JSON, and back. Only those whose value is the same wherever it is computed: immutable functions and casts
 * over built-in types. What does not depend on rows is computed once, by whoever asks, and travels as a parameter.
 */
import type { Expression } from '../../bind/expression.ts';
import { isRowIndependent, some } from '../../bind/expression-tree.ts';
import type { ComparisonOperator } from '../../functions/signature.ts';
import { findCast } from '../../types/cast.ts';
import { type SqlType, timestamptzType } from '../../types/type.ts';
import {
  datumOfText,
  isPushableType,
  nameOfSignature,
  pushableType,
  signatureOfName,
  textOfDatum,
} from './pushable.ts';

export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [key: string]: Json };
type JsonObject = { readonly [key: string]: Json };

/** What the program is told of the statement around it. */
export interface ExpressionScope {
  /** Place of a table's column in the program's row. */
  place(column: number): number;
  /** Takes note of a value that is computed before the program is sent; its number. */
  parameter(expression: Expression): number;
}

/** Undefined: it cannot be pushed. */
export function encodeExpression(expression: Expression, scope: ExpressionScope): Json | undefined {
  if (!isPushableType(expression.type)) return undefined;
  if (expression.kind === 'constant') return constantText(expression.type, expression.value);
  if (isRowIndependent(expression))
    return isSteady(expression)
      ? { k: 'parameter', t: expression.type.oid, i: scope.parameter(expression) }
      : undefined;
  const rest = encodeNode(expression, scope);
  return rest === undefined
    ? undefined
    : { k: expression.kind, t: expression.type.oid, m: expression.modifier, ...rest };
}

function constantText(type: SqlType, value: Parameters<typeof textOfDatum>[1]): Json {
  return { k: 'constant', t: type.oid, v: textOfDatum(type, value) };
}

/** One value for a run of the statement, to be had without a query. */
function isSteady(expression: Expression): boolean {
  return !some(
    expression,
    (node) =>
      node.kind === 'subquery' ||
      (node.kind === 'call' && node.signature.volatility === 'volatile'),
  );
}

function encodeNode(expression: Expression, scope: ExpressionScope): JsonObject | undefined {
  const one = (child: Expression): Json | undefined => encodeExpression(child, scope);
  const all = (children: readonly Expression[]): Json[] | undefined => {
    const encoded = children.map(one);
    return encoded.some((each) => each === undefined) ? undefined : (encoded as Json[]);
  };
  const fields = (
    children: Readonly<Record<string, Expression>>,
    more: JsonObject = {},
  ): JsonObject | undefined => {
    const encoded = Object.entries(children).map(([name, child]) => [name, one(child)] as const);
    if (encoded.some(([, json]) => json === undefined)) return undefined;
    return { ...more, ...(Object.fromEntries(encoded) as JsonObject) };
  };
  const list = (children: readonly Expression[], more: JsonObject = {}): JsonObject | undefined => {
    const encoded = all(children);
    return encoded && { ...more, a: encoded };
  };
  switch (expression.kind) {
    case 'column':
      return { i: scope.place(expression.index) };
    case 'call': {
      const name = nameOfSignature(expression.signature);
      return name === undefined ? undefined : list(expression.arguments, { f: name });
    }
    case 'cast': {
      const { argument, type, cast } = expression;
      const found = findCast(argument.type, type);
      if (found === undefined || cast.stable || found.stable) return undefined;
      return fields({ a: argument });
    }
    case 'length':
      return fields({ a: expression.argument }, { e: expression.explicit });
    case 'comparison':
      if (readsZone(expression.left.type, expression.right.type)) return undefined;
      return fields({ l: expression.left, r: expression.right }, { o: expression.operator });
    case 'distinct':
      if (readsZone(expression.left.type, expression.right.type)) return undefined;
      return fields({ l: expression.left, r: expression.right }, { n: expression.negated });
    case 'in':
      if (expression.items.some((item) => readsZone(expression.left.type, item.type)))
        return undefined;
      return list([expression.left, ...expression.items], { n: expression.negated });
    case 'and':
    case 'or':
    case 'coalesce':
      return list(expression.arguments);
    case 'extreme':
      return list(expression.arguments, { d: expression.direction });
    case 'not':
      return fields({ a: expression.argument });
    case 'is-null':
      return fields({ a: expression.argument }, { n: expression.negated });
    case 'boolean-test':
      return fields({ a: expression.argument }, { e: expression.expected, n: expression.negated });
    case 'case': {
      const branches = expression.branches.flatMap(({ when, result }) => [when, result]);
      const { otherwise } = expression;
      return list(otherwise === undefined ? branches : [...branches, otherwise]);
    }
    case 'nullif':
      return fields({ c: expression.comparison, l: expression.left });
    default:
      return undefined;
  }
}

/** Dates beside moments are compared in the session's zone. */
function readsZone(left: SqlType, right: SqlType): boolean {
  return left !== right && (left === timestamptzType || right === timestamptzType);
}

/** Something that is no program of this version, or names what is not known here. */
export class UnknownProgram extends Error {}

const comparisons: ReadonlySet<unknown> = new Set(['=', '<>', '<', '<=', '>', '>=']);

/** Deepest nesting that is read. */
const depthMax = 500;

/** @param width of the program's row @throws UnknownProgram */
export function decodeExpression(json: unknown, width: number, depth = 0): Expression {
  if (depth > depthMax) throw new UnknownProgram('too deep');
  const node = objectOf(json);
  const type = typeOf(node.t);
  const modifier = typeof node.m === 'number' ? node.m : -1;
  const typed = { type, modifier, location: undefined };
  const one = (child: unknown) => decodeExpression(child, width, depth + 1);
  const all = () => listOf(node.a).map(one);
  switch (node.k) {
    case 'constant':
      return { kind: 'constant', ...typed, value: datumOfText(type, textOf(node.v)) };
    case 'parameter':
      return { kind: 'parameter', ...typed, index: countOf(node.i) };
    case 'column': {
      const index = countOf(node.i);
      if (index >= width) throw new UnknownProgram('column');
      return {
        kind: 'column',
        ...typed,
        index,
        name: '',
        relation: '',
        tableOid: 0,
        attributeNumber: 0,
      };
    }
    case 'call': {
      const signature = signatureOfName(textOf(node.f));
      if (signature === undefined) throw new UnknownProgram(textOf(node.f));
      return { kind: 'call', ...typed, signature, arguments: all() };
    }
    case 'cast': {
      const argument = one(node.a);
      const cast = findCast(argument.type, type);
      if (cast === undefined || cast.stable) throw new UnknownProgram('cast');
      return { kind: 'cast', ...typed, cast, argument };
    }
    case 'length':
      return { kind: 'length', ...typed, explicit: flagOf(node.e), argument: one(node.a) };
    case 'comparison': {
      if (!comparisons.has(node.o)) throw new UnknownProgram('comparison');
      const operator = node.o as ComparisonOperator;
      return { kind: 'comparison', ...typed, operator, left: one(node.l), right: one(node.r) };
    }
    case 'distinct':
      return {
        kind: 'distinct',
        ...typed,
        negated: flagOf(node.n),
        left: one(node.l),
        right: one(node.r),
      };
    case 'in': {
      const [left, ...items] = all();
      if (left === undefined) throw new UnknownProgram('in');
      return { kind: 'in', ...typed, negated: flagOf(node.n), left, items };
    }
    case 'and':
    case 'or':
    case 'coalesce':
      return { kind: node.k, ...typed, arguments: all() };
    case 'extreme':
      return { kind: 'extreme', ...typed, direction: node.d === 1 ? 1 : -1, arguments: all() };
    case 'not':
      return { kind: 'not', ...typed, argument: one(node.a) };
    case 'is-null':
      return { kind: 'is-null', ...typed, negated: flagOf(node.n), argument: one(node.a) };
    case 'boolean-test': {
      const expected = node.e === null ? null : flagOf(node.e);
      return {
        kind: 'boolean-test',
        ...typed,
        expected,
        negated: flagOf(node.n),
        argument: one(node.a),
      };
    }
    case 'case': {
      const parts = all();
      const otherwise = parts.length % 2 === 1 ? parts.pop() : undefined;
      const branches: { when: Expression; result: Expression }[] = [];
      for (let i = 0; i < parts.length; i += 2)
        branches.push({ when: parts[i] as Expression, result: parts[i + 1] as Expression });
      return { kind: 'case', ...typed, branches, otherwise };
    }
    case 'nullif': {
      const comparison = one(node.c);
      if (comparison.kind !== 'comparison') throw new UnknownProgram('nullif');
      return { kind: 'nullif', ...typed, comparison, left: one(node.l) };
    }
    default:
      throw new UnknownProgram(String(node.k));
  }
}

export function objectOf(json: unknown): Readonly<Record<string, unknown>> {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new UnknownProgram('object');
  return json as Readonly<Record<string, unknown>>;
}

export function listOf(json: unknown): readonly unknown[] {
  if (!Array.isArray(json)) throw new UnknownProgram('list');
  return json;
}

export function textOf(json: unknown): string {
  if (typeof json !== 'string') throw new UnknownProgram('text');
  return json;
}

export function countOf(json: unknown): number {
  if (typeof json !== 'number' || !Number.isInteger(json) || json < 0)
    throw new UnknownProgram('number');
  return json;
}

function flagOf(json: unknown): boolean {
  if (typeof json !== 'boolean') throw new UnknownProgram('flag');
  return json;
}

export function typeOf(json: unknown): SqlType {
  const type = pushableType(countOf(json));
  if (type === undefined) throw new UnknownProgram('type');
  return type;
}

/** Whether evaluating it cannot fail, whatever the row: what is asked before another condition must not add an error. */
export function cannotFail(expression: Expression): boolean {
  return !some(
    expression,
    ({ kind }) => kind === 'call' || kind === 'cast' || kind === 'length' || kind === 'subquery',
  );
}
