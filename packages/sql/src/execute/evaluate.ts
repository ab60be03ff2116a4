/**
 * Expressions as closures over a row: built once for a plan, run for every row. NULL is null; three-valued logic lives
 * here. Evaluation is synchronous and never touches storage.
 */
import { assertNever } from '@flotilla/base';
import type { Expression } from '../bind/expression.ts';
import type { EvalContext, Signature } from '../functions/signature.ts';
import { stringCharactersMax } from '../limits.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { comparatorOf, isIdentical, pairComparator } from '../types/compare.ts';
import { formatText } from '../types/text-codec.ts';
import { recordType } from '../types/type.ts';
import { RecordValue } from '../types/values.ts';
import { subqueryEvaluator } from './evaluate-subquery.ts';

export type Row = readonly Datum[];
export type Evaluator = (row: Row, context: EvalContext) => Datum;

export function evaluatorOf(expression: Expression): Evaluator {
  switch (expression.kind) {
    case 'constant': {
      const { value } = expression;
      return () => value;
    }
    case 'parameter': {
      const { index } = expression;
      return (_row, context) => context.parameters[index] ?? null;
    }
    case 'column': {
      const { index } = expression;
      return (row) => row[index] ?? null;
    }
    case 'call':
      return callEvaluator(expression);
    case 'concat':
      return concatEvaluator(expression);
    case 'cast': {
      const argument = evaluatorOf(expression.argument);
      const { implementation } = expression.cast;
      if (implementation === undefined) return argument;
      return (row, context) => {
        const value = argument(row, context);
        return value === null ? null : implementation(value, null, null, context);
      };
    }
    case 'length': {
      const argument = evaluatorOf(expression.argument);
      const { explicit, modifier, type } = expression;
      const form = type.codec?.modifier;
      if (form === undefined) return argument;
      return (row, context) => {
        const value = argument(row, context);
        return value === null ? null : form.apply(value, modifier, explicit);
      };
    }
    case 'comparison':
      return comparisonEvaluator(expression);
    case 'and':
      return andEvaluator(expression.arguments.map(evaluatorOf));
    case 'or':
      return orEvaluator(expression.arguments.map(evaluatorOf));
    case 'not': {
      const argument = evaluatorOf(expression.argument);
      return (row, context) => {
        const value = argument(row, context);
        return value === null ? null : !value;
      };
    }
    case 'is-null': {
      const argument = evaluatorOf(expression.argument);
      const { negated } = expression;
      if (expression.argument.type === recordType)
        return (row, context) => isNullRow(argument(row, context), negated);
      return (row, context) => (argument(row, context) === null) !== negated;
    }
    case 'boolean-test': {
      const argument = evaluatorOf(expression.argument);
      const { expected, negated } = expression;
      return (row, context) => (argument(row, context) === expected) !== negated;
    }
    case 'distinct':
      return distinctEvaluator(expression);
    case 'in':
      return inEvaluator(expression);
    case 'case':
      return caseEvaluator(expression);
    case 'coalesce': {
      const all = expression.arguments.map(evaluatorOf);
      return (row, context) => {
        for (const one of all) {
          const value = one(row, context);
          if (value !== null) return value;
        }
        return null;
      };
    }
    case 'nullif': {
      const equal = evaluatorOf(expression.comparison);
      const left = evaluatorOf(expression.left);
      return (row, context) => (equal(row, context) === true ? null : left(row, context));
    }
    case 'extreme':
      return extremeEvaluator(expression);
    case 'aggregate':
    case 'window':
    case 'set':
      throw new RangeError('is replaced by a column of its operator before it is evaluated');
    case 'argument': {
      const { index } = expression;
      return (_row, context) => context.arguments[index] ?? null;
    }
    case 'subquery':
      return subqueryEvaluator(expression);
    case 'grouping': {
      const { masks } = expression;
      const [set] = expression.arguments.map(evaluatorOf);
      return (row, context) => masks[Number(set?.(row, context) ?? 0)] ?? 0;
    }
    default:
      return assertNever(expression);
  }
}

/** A row is NULL where all of its fields are, and not NULL where none is. */
function isNullRow(value: Datum, negated: boolean): boolean {
  if (!(value instanceof RecordValue)) return !negated;
  return value.values.every((one) => (one === null) !== negated);
}

type Of<Kind extends Expression['kind']> = Extract<Expression, { kind: Kind }>;

function callEvaluator(call: Of<'call'>): Evaluator {
  const { implementation, strict, general } = call.signature;
  if (general !== undefined) return generalEvaluator(call, general);
  const [first, second, third] = call.arguments.map(evaluatorOf);
  if (first === undefined) return (_row, context) => implementation(null, null, null, context);
  if (second === undefined)
    return (row, context) => {
      const a = first(row, context);
      return strict && a === null ? null : implementation(a, null, null, context);
    };
  if (third === undefined)
    return (row, context) => {
      // All arguments are evaluated, as in PostgreSQL: what fails fails beside a NULL, too.
      const a = first(row, context);
      const b = second(row, context);
      return strict && (a === null || b === null) ? null : implementation(a, b, null, context);
    };
  return (row, context) => {
    const a = first(row, context);
    const b = second(row, context);
    const c = third(row, context);
    return strict && (a === null || b === null || c === null)
      ? null
      : implementation(a, b, c, context);
  };
}

function generalEvaluator(call: Of<'call'>, general: NonNullable<Signature['general']>): Evaluator {
  const parts = call.arguments.map(evaluatorOf);
  const { strict } = call.signature;
  const run = general({
    parameters: call.arguments.map((argument) => argument.type),
    result: call.type,
  });
  return (row, context) => {
    const values: Datum[] = [];
    let missing = false;
    for (const part of parts) {
      const value = part(row, context);
      if (value === null) missing = true;
      values.push(value);
    }
    return strict && missing ? null : run(values, context);
  };
}

function concatEvaluator(call: Of<'concat'>): Evaluator {
  const parts = call.arguments.map((argument) => ({
    type: argument.type,
    evaluate: evaluatorOf(argument),
  }));
  const separatorPart = call.withSeparator ? parts.shift() : undefined;
  return (row, context) => {
    const separator = separatorPart === undefined ? '' : separatorPart.evaluate(row, context);
    if (separator === null) return null;
    const texts: string[] = [];
    let length = 0;
    for (const { type, evaluate } of parts) {
      const value = evaluate(row, context);
      if (value === null) continue;
      const text = formatText(type, value, context);
      length += text.length;
      if (length > stringCharactersMax) throw new SqlError('54000', 'concat result is too long');
      texts.push(text);
    }
    return texts.join(separator as string);
  };
}

function comparisonEvaluator(expression: Of<'comparison'>): Evaluator {
  const left = evaluatorOf(expression.left);
  const right = evaluatorOf(expression.right);
  const compare = pairComparator(expression.left.type, expression.right.type);
  if (isIdentical(expression.left.type, expression.right.type)) {
    if (expression.operator === '=') return whenBoth(left, right, (a, b) => a === b);
    if (expression.operator === '<>') return whenBoth(left, right, (a, b) => a !== b);
  }
  switch (expression.operator) {
    case '=':
      return whenBoth(left, right, (a, b, context) => compare(a, b, context) === 0);
    case '<>':
      return whenBoth(left, right, (a, b, context) => compare(a, b, context) !== 0);
    case '<':
      return whenBoth(left, right, (a, b, context) => compare(a, b, context) < 0);
    case '<=':
      return whenBoth(left, right, (a, b, context) => compare(a, b, context) <= 0);
    case '>':
      return whenBoth(left, right, (a, b, context) => compare(a, b, context) > 0);
    case '>=':
      return whenBoth(left, right, (a, b, context) => compare(a, b, context) >= 0);
  }
}

function whenBoth(
  left: Evaluator,
  right: Evaluator,
  test: (a: Datum, b: Datum, context: EvalContext) => boolean,
): Evaluator {
  return (row, context) => {
    const a = left(row, context);
    const b = right(row, context);
    return a === null || b === null ? null : test(a, b, context);
  };
}

function andEvaluator(all: readonly Evaluator[]): Evaluator {
  return (row, context) => {
    let result: boolean | null = true;
    for (const one of all) {
      const value = one(row, context);
      if (value === false) return false;
      if (value === null) result = null;
    }
    return result;
  };
}

function orEvaluator(all: readonly Evaluator[]): Evaluator {
  return (row, context) => {
    let result: boolean | null = false;
    for (const one of all) {
      const value = one(row, context);
      if (value === true) return true;
      if (value === null) result = null;
    }
    return result;
  };
}

function distinctEvaluator(expression: Of<'distinct'>): Evaluator {
  const left = evaluatorOf(expression.left);
  const right = evaluatorOf(expression.right);
  const compare = pairComparator(expression.left.type, expression.right.type);
  const { negated } = expression;
  return (row, context) => {
    const a = left(row, context);
    const b = right(row, context);
    const distinct = a === null || b === null ? a !== b : compare(a, b, context) !== 0;
    return distinct !== negated;
  };
}

/** Lists of this many constants are looked up in a set instead of being walked. */
const setThreshold = 8;

function inEvaluator(expression: Of<'in'>): Evaluator {
  const left = evaluatorOf(expression.left);
  const { items, negated } = expression;
  const [firstItem] = items;
  const sameType = items.every((item) => isIdentical(expression.left.type, item.type));
  if (firstItem !== undefined && sameType && items.length >= setThreshold) {
    const values = items.map((item) => (item.kind === 'constant' ? item.value : undefined));
    if (!values.includes(undefined)) {
      const members = new Set(values);
      const missing = members.has(null) ? null : negated;
      return (row, context) => {
        const value = left(row, context);
        if (value === null) return null;
        return members.has(value) ? !negated : missing;
      };
    }
  }
  const all = items.map((item) => ({
    evaluate: evaluatorOf(item),
    compare: pairComparator(expression.left.type, item.type),
  }));
  return (row, context) => {
    const value = left(row, context);
    let result: boolean | null = negated;
    for (const { evaluate, compare } of all) {
      // Also where the left side is NULL: an item may fail, as the arguments of any operator may.
      const item = evaluate(row, context);
      if (value === null || item === null) result = null;
      else if (compare(value, item, context) === 0) return !negated;
    }
    return result;
  };
}

function caseEvaluator(expression: Of<'case'>): Evaluator {
  const branches = expression.branches.map(({ when, result }) => ({
    when: evaluatorOf(when),
    result: evaluatorOf(result),
  }));
  const otherwise =
    expression.otherwise === undefined ? undefined : evaluatorOf(expression.otherwise);
  return (row, context) => {
    for (const { when, result } of branches)
      if (when(row, context) === true) return result(row, context);
    return otherwise === undefined ? null : otherwise(row, context);
  };
}

function extremeEvaluator(expression: Of<'extreme'>): Evaluator {
  const all = expression.arguments.map(evaluatorOf);
  const compare = comparatorOf(expression.type);
  const { direction } = expression;
  return (row, context) => {
    let best: Datum = null;
    for (const one of all) {
      const value = one(row, context);
      if (value !== null && (best === null || compare(value, best) * direction > 0)) best = value;
    }
    return best;
  };
}
