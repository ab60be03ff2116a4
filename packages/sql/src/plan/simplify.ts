/**
 * What PostgreSQL's planner computes ahead: immutable expressions over constants become their values, what a constant decides
 * loses the rest, and a strict operation with a NULL among its arguments is NULL. An expression that fails then fails the
 * statement, whether or not a row would ever have computed it. Called by the planner, once a statement, before it looks at
 * anything: binding has seen the whole expressions by then, and checked them.
 */
import { constant, type Expression } from '../bind/expression.ts';
import { children, mapChildren, startOf } from '../bind/expression-tree.ts';
import type { Relation } from '../bind/relation.ts';
import { evaluatorOf } from '../execute/evaluate.ts';
import type { EvalContext } from '../functions/signature.ts';
import { SqlError } from '../sql-error.ts';
import { boolType, recordType } from '../types/type.ts';

type Of<Kind extends Expression['kind']> = Extract<Expression, { kind: Kind }>;

export class Simplifier {
  /** Of the first expression that cannot be computed. */
  failure: SqlError | undefined;
  private readonly evaluation: EvalContext;
  private readonly relation: (relation: Relation) => Relation;

  /** @param relation how queries in expressions are simplified; the same result for the same query */
  constructor(evaluation: EvalContext, relation: (relation: Relation) => Relation) {
    this.evaluation = evaluation;
    this.relation = relation;
  }

  /** The same object where nothing changes. */
  simplify(expression: Expression): Expression {
    switch (expression.kind) {
      case 'constant':
      case 'parameter':
      case 'column':
      case 'argument':
        return expression;
      case 'and':
      case 'or':
        return this.logical(expression);
      case 'case':
        return this.branches(expression);
      case 'coalesce':
        return this.coalesced(expression);
      case 'in':
        return this.member(expression);
      case 'subquery': {
        const own = this.mapped(expression) as Of<'subquery'>;
        const query = this.relation(own.query);
        return query === own.query ? own : { ...own, query };
      }
      default:
        return this.computed(this.mapped(expression));
    }
  }

  maybe(expression: Expression | undefined): Expression | undefined {
    return expression === undefined ? undefined : this.simplify(expression);
  }

  private mapped(expression: Expression): Expression {
    let changed = false;
    const mapped = mapChildren(expression, (child) => {
      const own = this.simplify(child);
      if (own !== child) changed = true;
      return own;
    });
    return changed ? mapped : expression;
  }

  private computed(expression: Expression): Expression {
    // Of whatever volatility: a strict function is not called for a NULL.
    if (isStrict(expression) && children(expression).some(isNullConstant))
      return constantOf(expression, null);
    const inner = computable(expression);
    if (inner?.every((one) => one.kind === 'constant') !== true) return expression;
    try {
      return constantOf(expression, evaluatorOf(expression)([], this.evaluation));
    } catch (error) {
      if (!(error instanceof SqlError)) throw error;
      this.failure ??= error;
      return expression;
    }
  }

  /** What stands behind a deciding constant is not looked at; NULL goes to the end, as it decides last. */
  private logical(expression: Of<'and' | 'or'>): Expression {
    const deciding = expression.kind === 'or';
    const left: Expression[] = [];
    let hasNull = false;
    let changed = false;
    for (const argument of expression.arguments) {
      const own = this.simplify(argument);
      if (own !== argument) changed = true;
      if (own.kind !== 'constant') left.push(own);
      else if (own.value === deciding) return constantOf(expression, deciding);
      else {
        changed = true;
        if (own.value === null) hasNull = true;
      }
    }
    if (!changed) return expression;
    if (left.length === 0) return constantOf(expression, hasNull ? null : !deciding);
    if (hasNull) left.push(constant(boolType, null));
    const [only] = left;
    return left.length === 1 && only !== undefined ? only : { ...expression, arguments: left };
  }

  /** A constant item that is equal decides for all of them, as in a chain of OR. */
  private member(expression: Of<'in'>): Expression {
    const own = this.mapped(expression) as Of<'in'>;
    if (isNullConstant(own.left)) return constantOf(own, null);
    const items = own.items.filter((item) => item.kind === 'constant');
    if (own.left.kind !== 'constant' || items.length === 0 || items.length === own.items.length)
      return this.computed(own);
    const decided = this.computed({ ...own, items });
    return decided.kind === 'constant' && decided.value === !own.negated ? decided : own;
  }

  private branches(expression: Of<'case'>): Expression {
    const branches: { readonly when: Expression; readonly result: Expression }[] = [];
    let otherwise: Expression | undefined;
    let decided = false;
    for (const branch of expression.branches) {
      const when = this.simplify(branch.when);
      if (when.kind === 'constant' && when.value !== true) continue;
      const result = this.simplify(branch.result);
      if (when.kind === 'constant') {
        otherwise = result;
        decided = true;
        break;
      }
      branches.push({ when, result });
    }
    if (!decided) otherwise = this.maybe(expression.otherwise);
    if (branches.length === 0) return otherwise ?? constantOf(expression, null);
    return { ...expression, branches, otherwise };
  }

  private coalesced(expression: Of<'coalesce'>): Expression {
    const left: Expression[] = [];
    for (const argument of expression.arguments) {
      const own = this.simplify(argument);
      if (own.kind === 'constant' && own.value === null) continue;
      left.push(own);
      if (own.kind === 'constant') break;
    }
    const [first] = left;
    if (first === undefined) return constantOf(expression, null);
    if (first.kind === 'constant') return first;
    return { ...expression, arguments: left };
  }
}

function constantOf(
  expression: Expression,
  value: Extract<Expression, { kind: 'constant' }>['value'],
): Expression {
  return constant(expression.type, value, startOf(expression), expression.modifier);
}

function isNullConstant(expression: Expression): boolean {
  return expression.kind === 'constant' && expression.value === null;
}

/** The arguments of an expression that may be computed ahead. */
function computable(expression: Expression): readonly Expression[] | undefined {
  switch (expression.kind) {
    case 'call':
      return expression.signature.volatility === 'immutable' ? expression.arguments : undefined;
    case 'cast':
      return expression.cast.stable ? undefined : [expression.argument];
    case 'is-null':
      return expression.argument.type === recordType ? undefined : [expression.argument];
    case 'length':
    case 'not':
    case 'boolean-test':
      return [expression.argument];
    case 'comparison':
    case 'distinct':
      return [expression.left, expression.right];
    case 'in':
      return [expression.left, ...expression.items];
    case 'nullif':
      return [expression.comparison.left, expression.comparison.right, expression.left];
    case 'extreme':
      return expression.arguments;
    default:
      return undefined;
  }
}

/** NULL where any argument is. */
function isStrict(expression: Expression): boolean {
  switch (expression.kind) {
    case 'comparison':
    case 'length':
    case 'not':
      return true;
    case 'cast':
      return true;
    case 'call':
      return expression.signature.strict;
    default:
      return false;
  }
}
