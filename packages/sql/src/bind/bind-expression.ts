/** From the grammar's expression tree to typed expressions. One binder per clause: it knows what that clause allows. */
import type { A_Expr, CaseExpr, ColumnRef, GroupingFunc, Node, SubLink } from 'libpg-query';
import type { ComparisonOperator } from '../functions/signature.ts';
import { baseType, isOfDomain } from '../types/domain.ts';
import {
  boolType,
  int4Type,
  int8Type,
  isText,
  nameType,
  type SqlType,
  textType,
  timestamptzType,
  unknownType,
} from '../types/type.ts';
import { describeKind, kindOf, listItems, locationOf, nameParts } from './ast.ts';
import { bindArray, bindArrayQuantifier, bindIndirection, bindRow } from './bind-array.ts';
import { bindConstant } from './bind-constant.ts';
import { bindAttributeCall, bindFunction } from './bind-function.ts';
import { bindOperator } from './bind-operator.ts';
import { refuseSets } from './bind-set-function.ts';
import { bindRowComparison, bindSubLink } from './bind-subquery.ts';
import { type Binder, type Clause, clauseWord } from './binder.ts';
import {
  castTo,
  coerceImplicitly,
  coerceToBoolean,
  coerceToCommon,
  commonType,
  ofBaseType,
  requireCommonType,
  tryCoerce,
} from './coerce.ts';
import type { BindContext } from './context.ts';
import {
  type ComparisonExpression,
  constant,
  type Expression,
  type LogicalExpression,
} from './expression.ts';
import { isRowIndependent, startOf } from './expression-tree.ts';
import { fold } from './fold.ts';
import { qualifierOf, type Scope } from './scope.ts';
import { bindList, starQualifier } from './star.ts';
import { bindTypeName } from './type-name.ts';
import type { WindowClause } from './window-clause.ts';

const aggregateClauses: ReadonlySet<Clause> = new Set([
  'SELECT',
  'HAVING',
  'ORDER BY',
  'DISTINCT ON',
  'WINDOW',
]);
const windowClauses: ReadonlySet<Clause> = new Set(['SELECT', 'ORDER BY', 'DISTINCT ON']);

export class ExpressionBinder implements Binder {
  readonly context: BindContext;
  readonly scope: Scope;
  readonly clause: Clause;
  insideAggregate = false;
  insideWindow = false;
  windows: WindowClause | undefined;

  constructor(context: BindContext, scope: Scope, clause: Clause) {
    this.context = context;
    this.scope = scope;
    this.clause = clause;
    this.windows = undefined;
  }

  get allowsAggregates(): boolean {
    return aggregateClauses.has(this.clause);
  }

  get allowsWindows(): boolean {
    return windowClauses.has(this.clause);
  }

  as(clause: Clause): ExpressionBinder {
    return new ExpressionBinder(this.context, this.scope, clause);
  }

  bind(node: Node | undefined): Expression {
    return ofBaseType(this.bindAsIs(node));
  }

  bindAsIs(node: Node | undefined): Expression {
    if (node === undefined) throw this.context.unsupported('empty expression');
    return this.context.nested(() => this.bindNode(node));
  }

  bindBoolean(node: Node | undefined, construct: string): Expression {
    return coerceToBoolean(this.context, this.bind(node), construct);
  }

  private bindNode(node: Node): Expression {
    if ('A_Const' in node) return bindConstant(this.context, node.A_Const);
    if ('ColumnRef' in node) return this.bindColumn(node.ColumnRef);
    if ('ParamRef' in node) {
      const { number = 0, location } = node.ParamRef;
      const type = this.context.parameterType(number, location);
      const own = { kind: 'parameter', modifier: -1, location, index: number - 1 } as const;
      // Only clients say of a parameter that it is of a domain; what they send has yet to be judged.
      if (isOfDomain(type))
        return castTo(this.context, { ...own, type: baseType(type) }, type, -1, location);
      return { ...own, type };
    }
    if ('A_Expr' in node) return this.bindOperatorNode(node.A_Expr);
    if ('SubLink' in node) return this.bindSubLink(node.SubLink);
    if ('GroupingFunc' in node) return this.bindGrouping(node.GroupingFunc);
    if ('BoolExpr' in node) {
      const { boolop, args, location } = node.BoolExpr;
      return this.bindLogical(boolop ?? 'AND_EXPR', args ?? [], location);
    }
    if ('FuncCall' in node) return bindFunction(this, node.FuncCall);
    if ('TypeCast' in node) {
      const { arg, typeName, location } = node.TypeCast;
      if (typeName === undefined) throw this.context.unsupported('CAST');
      const { type, modifier } = bindTypeName(this.context, typeName);
      if (arg !== undefined && 'A_ArrayExpr' in arg) {
        const array = bindArray(
          this,
          arg.A_ArrayExpr,
          type.element === undefined ? undefined : type,
        );
        return castTo(this.context, array, type, modifier, location ?? typeName.location);
      }
      return castTo(this.context, this.bind(arg), type, modifier, location ?? typeName.location);
    }
    if ('A_ArrayExpr' in node) return bindArray(this, node.A_ArrayExpr, undefined);
    if ('A_Indirection' in node) return bindIndirection(this, node.A_Indirection);
    if ('RowExpr' in node) return bindRow(this, node.RowExpr);
    if ('NullTest' in node) {
      const { arg, nulltesttype, location } = node.NullTest;
      const negated = nulltesttype === 'IS_NOT_NULL';
      const test = (argument: Expression): Expression => ({
        kind: 'is-null',
        type: boolType,
        modifier: -1,
        location,
        negated,
        argument,
      });
      if (arg !== undefined && 'RowExpr' in arg)
        return conjoin(bindList(this, arg.RowExpr.args ?? []).map(test), location);
      return test(this.bind(arg));
    }
    if ('BooleanTest' in node) {
      const { arg, booltesttype = 'IS_TRUE', location } = node.BooleanTest;
      const construct = booltesttype.replaceAll('_', ' ');
      return {
        kind: 'boolean-test',
        type: boolType,
        modifier: -1,
        location,
        expected: construct.endsWith('TRUE') ? true : construct.endsWith('FALSE') ? false : null,
        negated: construct.includes('NOT'),
        argument: this.bindBoolean(arg, construct),
      };
    }
    if ('CaseExpr' in node) return this.bindCase(node.CaseExpr);
    if ('CoalesceExpr' in node) {
      const { args, location } = node.CoalesceExpr;
      const [bound, type] = this.bindCommon(args ?? [], 'COALESCE');
      refuseSets(this.context, bound, 'COALESCE');
      return { kind: 'coalesce', type, modifier: -1, location, arguments: bound };
    }
    if ('MinMaxExpr' in node) {
      const { args, op, location } = node.MinMaxExpr;
      const greatest = op === 'IS_GREATEST';
      const [bound, type] = this.bindCommon(args ?? [], greatest ? 'GREATEST' : 'LEAST');
      const direction = greatest ? 1 : -1;
      return { kind: 'extreme', type, modifier: -1, location, direction, arguments: bound };
    }
    if ('SQLValueFunction' in node) return this.bindValueFunction(node.SQLValueFunction);
    if ('CollateClause' in node) {
      const { arg, collname, location } = node.CollateClause;
      const name = nameParts(collname).pop() ?? '';
      const bound = resolveOpen(this.context, this.bind(arg));
      if (!['default', 'C', 'POSIX'].includes(name))
        throw this.context.unsupported(`collation "${name}"`, location);
      if (!isText(bound.type))
        throw this.context.error(
          '42804',
          `collations are not supported by type ${bound.type.display}`,
          location,
        );
      return bound;
    }
    if ('SetToDefault' in node)
      throw this.context.error(
        '42601',
        'DEFAULT is not allowed in this context',
        node.SetToDefault.location,
      );
    const kind = kindOf(node);
    throw this.context.unsupported(describeKind(kind), locationOf(node));
  }

  private bindColumn(reference: ColumnRef): Expression {
    const { location } = reference;
    const fields = reference.fields ?? [];
    const starred = starQualifier(fields);
    if (starred !== undefined) {
      const row = qualifierOf(this.context, starred, '*', location);
      return this.scope.wholeRow(this.context, row, location);
    }
    const parts = nameParts(fields);
    const [first = '', second] = parts;
    if (this.clause === 'DEFAULT')
      throw this.context.error(
        '0A000',
        'cannot use column reference in DEFAULT expression',
        location,
      );
    if (second === undefined) return this.scope.column(this.context, first, location);
    const name = parts.pop() ?? '';
    const of = qualifierOf(this.context, parts, name, location);
    return this.scope.qualified(this.context, of, name, location, (row) =>
      bindAttributeCall(this.context, name, row, location),
    );
  }

  private bindSubLink(link: SubLink): Expression {
    if (this.clause === 'DEFAULT')
      throw this.context.error('0A000', 'cannot use subquery in DEFAULT expression', link.location);
    return bindSubLink(this, link);
  }

  private bindGrouping(node: GroupingFunc): Expression {
    const { location, args } = node;
    if (!this.allowsAggregates)
      throw this.context.error(
        '42803',
        `grouping operations are not allowed in ${clauseWord(this.clause)}`,
        location,
      );
    const bound = (args ?? []).map((argument) => this.bind(argument));
    if (bound.length > 31)
      throw this.context.error('54023', 'GROUPING must have fewer than 32 arguments', location);
    return {
      kind: 'grouping',
      type: int4Type,
      modifier: -1,
      location,
      arguments: bound,
      masks: [],
    };
  }

  private bindLogical(op: string, nodes: readonly Node[], location?: number): Expression {
    if (op === 'NOT_EXPR') {
      const argument = this.bindBoolean(nodes[0], 'NOT');
      return { kind: 'not', type: boolType, modifier: -1, location, argument };
    }
    const kind: LogicalExpression['kind'] = op === 'AND_EXPR' ? 'and' : 'or';
    const construct = kind === 'and' ? 'AND' : 'OR';
    const bound = nodes.map((node) => this.bindBoolean(node, construct));
    return { kind, type: boolType, modifier: -1, location, arguments: bound };
  }

  private bindOperatorNode(node: A_Expr): Expression {
    const { kind = 'AEXPR_OP', location } = node;
    const parts = nameParts(node.name);
    const name = parts[parts.length - 1] ?? '';
    if (parts.length > 1 && parts[0] !== 'pg_catalog')
      throw parts[0] === 'public'
        ? this.context.error('42883', `operator does not exist: ${parts.join('.')}`, location)
        : this.context.error('3F000', `schema "${parts[0]}" does not exist`, location);
    switch (kind) {
      case 'AEXPR_OP':
      case 'AEXPR_LIKE':
      case 'AEXPR_ILIKE':
      case 'AEXPR_SIMILAR': {
        const right = node.rexpr;
        const sides = { left: node.lexpr, right };
        const rows =
          kind === 'AEXPR_OP' ? bindRowComparison(this, name, sides, location) : undefined;
        if (rows !== undefined) return rows;
        if (node.lexpr === undefined)
          return bindOperator(this.context, name, [this.bind(right)], location);
        return bindOperator(
          this.context,
          name,
          [this.bind(node.lexpr), this.bind(right)],
          location,
        );
      }
      case 'AEXPR_IN':
        return this.bindIn(node, name === '<>');
      case 'AEXPR_DISTINCT':
      case 'AEXPR_NOT_DISTINCT': {
        const rows = this.bindDistinctRows(node, kind === 'AEXPR_NOT_DISTINCT');
        if (rows !== undefined) return rows;
        const both = [this.bind(node.lexpr), this.bind(node.rexpr)];
        const { left, right } = this.bindEquality(both, location, 'IS DISTINCT FROM');
        const negated = kind === 'AEXPR_NOT_DISTINCT';
        return { kind: 'distinct', type: boolType, modifier: -1, location, negated, left, right };
      }
      case 'AEXPR_NULLIF': {
        const both = [this.bind(node.lexpr), this.bind(node.rexpr)];
        const comparison = this.bindEquality(both, location, 'NULLIF');
        // The result is the first argument as it was before it was widened for the comparison, where its type is known.
        const { left } = comparison;
        const { type, modifier } = left;
        return { kind: 'nullif', type, modifier, location, comparison, left };
      }
      case 'AEXPR_BETWEEN':
      case 'AEXPR_NOT_BETWEEN':
      case 'AEXPR_BETWEEN_SYM':
      case 'AEXPR_NOT_BETWEEN_SYM':
        return this.bindBetween(node);
      case 'AEXPR_OP_ANY':
        return bindArrayQuantifier(this, node, 'any');
      case 'AEXPR_OP_ALL':
        return bindArrayQuantifier(this, node, 'all');
      default:
        throw this.context.unsupported(kind, location);
    }
  }

  /** (a, b) IS [NOT] DISTINCT FROM (c, d). */
  private bindDistinctRows(node: A_Expr, negated: boolean): Expression | undefined {
    const { lexpr, rexpr, location } = node;
    if (lexpr === undefined || rexpr === undefined) return undefined;
    if (!('RowExpr' in lexpr) || !('RowExpr' in rexpr)) return undefined;
    const a = bindList(this, lexpr.RowExpr.args ?? []);
    const b = bindList(this, rexpr.RowExpr.args ?? []);
    if (a.length !== b.length)
      throw this.context.error('42601', 'unequal number of entries in row expressions', location);
    const parts = a.map((left, i): Expression => {
      const right = b[i];
      const pair = right === undefined ? [left] : [left, right];
      const bound = this.bindEquality(pair, location, 'IS DISTINCT FROM');
      return { ...bound, kind: 'distinct', negated };
    });
    const kind = negated ? 'and' : 'or';
    return { kind, type: boolType, modifier: -1, location, arguments: parts };
  }

  private bindEquality(
    sides: readonly Expression[],
    location: number | undefined,
    construct: string,
  ): ComparisonExpression {
    const bound = bindOperator(this.context, '=', sides, location, false);
    if (bound.kind === 'comparison') return bound;
    throw this.context.unsupported(construct, location);
  }

  private bindBetween(node: A_Expr): Expression {
    const { kind = '', location, lexpr } = node;
    const [low, high] = listItems(node.rexpr);
    const compare = (operator: ComparisonOperator, bound: Node | undefined) =>
      bindRowComparison(this, operator, { left: lexpr, right: bound }, location) ??
      bindOperator(this.context, operator, [this.bind(lexpr), this.bind(bound)], location);
    const join = (joint: 'and' | 'or', all: readonly Expression[]): Expression => ({
      kind: joint,
      type: boolType,
      modifier: -1,
      location,
      arguments: all,
    });
    const inside = (from: Node | undefined, to: Node | undefined) =>
      join('and', [compare('>=', from), compare('<=', to)]);
    const outside = (from: Node | undefined, to: Node | undefined) =>
      join('or', [compare('<', from), compare('>', to)]);
    if (kind === 'AEXPR_BETWEEN') return inside(low, high);
    if (kind === 'AEXPR_NOT_BETWEEN') return outside(low, high);
    if (kind === 'AEXPR_BETWEEN_SYM') return join('or', [inside(low, high), inside(high, low)]);
    return join('and', [outside(low, high), outside(high, low)]);
  }

  /** One comparison type for the whole list where there is one, as a PostgreSQL array has; else one for each item. */
  private bindIn(node: A_Expr, negated: boolean): Expression {
    const { location } = node;
    if (node.lexpr !== undefined && 'RowExpr' in node.lexpr) return this.bindRowIn(node, negated);
    const left = this.bind(node.lexpr);
    let items = listItems(node.rexpr).map((item) => this.bind(item));
    const fixed = items.filter(isRowIndependent);
    const common = fixed.length > 1 ? commonType([left, ...fixed]) : undefined;
    if (common !== undefined)
      items = items.map((item) =>
        isRowIndependent(item) ? coerceToCommon(this.context, item, common, 'IN') : item,
      );
    let shared = left;
    const operator = negated ? '<>' : '=';
    const compared = items.map((item) => {
      const bound = bindOperator(this.context, operator, [left, item], location, false);
      if (bound.kind !== 'comparison') throw this.context.unsupported('IN', location);
      return bound;
    });
    const [first] = compared;
    if (first !== undefined) shared = first.left;
    if (compared.every((one) => one.left.type === shared.type)) {
      items = compared.map((one) => one.right);
      return fold(this.context, {
        kind: 'in',
        type: boolType,
        modifier: -1,
        location,
        negated,
        left: shared,
        items,
      });
    }
    const kind = negated ? 'and' : 'or';
    return { kind, type: boolType, modifier: -1, location, arguments: compared };
  }

  private bindRowIn(node: A_Expr, negated: boolean): Expression {
    const { location, lexpr } = node;
    const operator = negated ? '<>' : '=';
    const compared = listItems(node.rexpr).map((item) => {
      const bound = bindRowComparison(this, operator, { left: lexpr, right: item }, location);
      if (bound !== undefined) return bound;
      throw this.context.unsupported('IN', location);
    });
    const kind = negated ? 'and' : 'or';
    return { kind, type: boolType, modifier: -1, location, arguments: compared };
  }

  private bindCase(node: CaseExpr): Expression {
    const { arg, args, defresult, location } = node;
    const subject = arg === undefined ? undefined : resolveOpen(this.context, this.bind(arg));
    const whens: Expression[] = [];
    const results: Expression[] = [];
    for (const item of args ?? []) {
      if (!('CaseWhen' in item)) throw this.context.unsupported(describeKind(kindOf(item)));
      const { expr, result } = item.CaseWhen;
      whens.push(
        subject === undefined
          ? this.bindBoolean(expr, 'CASE/WHEN')
          : bindOperator(this.context, '=', [subject, this.bind(expr)], item.CaseWhen.location),
      );
      results.push(this.bindAsIs(result));
    }
    const otherwise = defresult === undefined ? undefined : this.bindAsIs(defresult);
    // PostgreSQL looks at ELSE first when it settles on a type.
    const all = otherwise === undefined ? results : [otherwise, ...results];
    refuseSets(
      this.context,
      [...(subject === undefined ? [] : [subject]), ...whens, ...all],
      'CASE',
    );
    const type = requireCommonType(this.context, all, 'CASE');
    const coerced = (one: Expression, construct: string) =>
      coerceToCommon(this.context, one, type, construct);
    return {
      kind: 'case',
      type,
      modifier: -1,
      location,
      branches: whens.map((when, i) => ({
        when,
        result: coerced(results[i] ?? constant(unknownType, null), 'CASE/WHEN'),
      })),
      otherwise: otherwise === undefined ? undefined : coerced(otherwise, 'CASE/ELSE'),
    };
  }

  private bindCommon(nodes: readonly Node[], construct: string): [Expression[], SqlType] {
    const bound = nodes.map((node) => this.bindAsIs(node));
    const type = requireCommonType(this.context, bound, construct);
    return [bound.map((one) => coerceToCommon(this.context, one, type, construct)), type];
  }

  private bindValueFunction(node: { op?: string; typmod?: number; location?: number }): Expression {
    const { op = '', location } = node;
    const named: Readonly<Record<string, readonly [string, SqlType]>> = {
      SVFOP_CURRENT_TIMESTAMP: ['now', timestamptzType],
      SVFOP_CURRENT_USER: ['current_user', nameType],
      SVFOP_CURRENT_ROLE: ['current_user', nameType],
      SVFOP_USER: ['current_user', nameType],
      SVFOP_SESSION_USER: ['session_user', nameType],
      SVFOP_CURRENT_CATALOG: ['current_database', nameType],
      SVFOP_CURRENT_SCHEMA: ['current_schema', nameType],
    };
    const known = named[op];
    const precise = op.endsWith('_N');
    const name =
      known?.[0] ??
      op
        .replace(/^SVFOP_/, '')
        .replace(/_N$/, '')
        .toLowerCase();
    return bindFunction(this, {
      funcname: [{ String: { sval: name } }],
      ...(precise ? { args: [{ A_Const: { ival: { ival: node.typmod ?? 0 } } }] } : {}),
      ...(location === undefined ? {} : { location }),
    });
  }
}

function conjoin(all: readonly Expression[], location: number | undefined): Expression {
  return { kind: 'and', type: boolType, modifier: -1, location, arguments: all };
}

function resolveOpen(context: BindContext, expression: Expression): Expression {
  return expression.type === unknownType
    ? coerceImplicitly(context, expression, textType)
    : expression;
}

/** A value that must be a bigint: LIMIT and OFFSET. Throws 42804. */
export function bindCount(binder: ExpressionBinder, node: Node): Expression {
  const bound = binder.bind(node);
  const cast = tryCoerce(binder.context, bound, int8Type, 'assignment');
  if (cast !== undefined) return cast;
  throw binder.context.error(
    '42804',
    `argument of ${binder.clause} must be type bigint, not type ${bound.type.display}`,
    startOf(bound),
  );
}
