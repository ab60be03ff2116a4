/**
 * Expressions that the catalog keeps as text: CHECK, generated columns, defaults, parts of indexes. They are printed when they
 * are made, in a form that means the same in every session, and bound again where a plan needs them.
 */
import type { Node } from 'libpg-query';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import { NameResolver } from '../catalog/name-resolver.ts';
import { CatalogSnapshot, catalogSchema } from '../catalog/snapshot.ts';
import { type Evaluator, evaluatorOf } from '../execute/evaluate.ts';
import type { EvalContext } from '../functions/signature.ts';
import { Parser, type Statement } from '../parse/parser.ts';
import { print } from '../plan/explain.ts';
import { SqlError } from '../sql-error.ts';
import { compareOrdinary } from '../types/codec.ts';
import { baseModifier, baseType, type Domain } from '../types/domain.ts';
import { utcZone } from '../types/time-zone.ts';
import { plainType, type SqlType } from '../types/type.ts';
import { ArrayValue } from '../types/values.ts';
import { ExpressionBinder } from './bind-expression.ts';
import type { Clause } from './binder.ts';
import { type AssignmentTarget, coerceToColumn } from './coerce.ts';
import { BindContext } from './context.ts';
import { type DomainJudge, domainCall } from './domain-call.ts';
import type { Expression } from './expression.ts';
import { some } from './expression-tree.ts';
import { emptyScope, Frame, Scope, scopeItem, tableItem } from './scope.ts';

const parser = new Parser();

/** Folding sees no session: what is stored does not depend on one. */
export const neutralEvaluation: EvalContext = {
  zone: utcZone,
  extraFloatDigits: 1,
  now: 0n,
  statementStart: 0n,
  clockTime: () => 0n,
  parameters: [],
  user: '',
  database: '',
  catalog: undefined,
  setting: () => undefined,
  arguments: [],
  get root(): EvalContext {
    return neutralEvaluation;
  },
  subqueries: undefined,
};

function parsed(text: string): { readonly node: Node; readonly statement: Statement } {
  const [statement] = parser.parse(`SELECT ${text}`);
  const tree = statement?.node.tree;
  const target =
    tree !== undefined && 'SelectStmt' in tree ? tree.SelectStmt.targetList?.[0] : undefined;
  if (statement === undefined || target === undefined || !('ResTarget' in target))
    throw new RangeError('a stored expression is one expression');
  const { val } = target.ResTarget;
  if (val === undefined) throw new RangeError('a stored expression has a value');
  return { node: val, statement };
}

/** Over a row of the table, or over nothing; on its way into a column, if one is given. Throws as binding does. */
export function bindStored(
  text: string,
  clause: Clause,
  table: TableDescriptor | undefined,
  column?: AssignmentTarget,
): Expression {
  return bindText(text, clause, tableScope(table), usersTypes(table, column), column);
}

function bindText(
  text: string,
  clause: Clause,
  scope: Scope,
  types: readonly SqlType[],
  column?: AssignmentTarget,
): Expression {
  const { node, statement } = parsed(text);
  const context = new BindContext({
    source: statement.node.source,
    parameterTypes: [],
    evaluation: neutralEvaluation,
    names: new NameResolver(CatalogSnapshot.empty(), []),
    judgeOf,
    types,
  });
  try {
    const bound = new ExpressionBinder(context, scope, clause).bind(node);
    return column === undefined ? bound : coerceToColumn(context, bound, column);
  } catch (error) {
    if (!(error instanceof SqlError)) throw error;
    // It points into a text that the user does not see.
    const { position: _, ...fields } = error.fields;
    throw new SqlError(error.code, error.message, fields);
  }
}

/** Whether a call may give another value another time. What a domain's conditions depend on is not asked. */
export function isMutable(one: Expression): boolean {
  if (one.kind !== 'call' || one.signature.name === domainCall) return false;
  return one.signature.volatility !== 'immutable';
}

/** The text of an expression that the catalog is to keep. Throws 0A000 for types that the text would not lead to. */
export function printStored(
  bound: Expression,
  table: TableDescriptor | undefined,
  column?: AssignmentTarget,
): string {
  const known = new Set(usersTypes(table, column).map(({ oid }) => oid));
  some(bound, ({ type }) => {
    const { schema, oid, display } = type.element ?? type;
    if (schema === catalogSchema || known.has(oid)) return false;
    throw new SqlError(
      '0A000',
      `type ${display} in an expression over no column of that type is not supported yet`,
    );
  });
  return print(bound);
}

/** `VALUE`, of the type that a domain is over. */
export function valueScope({ type, modifier }: Domain): Scope {
  const named = { tableOid: 0, attributeNumber: 0 };
  const value = {
    ...named,
    name: 'value',
    type: baseType(type),
    modifier: baseModifier(type, modifier),
  };
  const item = scopeItem({ alias: '', columns: [value], offset: 0 });
  // It is printed as PostgreSQL prints it.
  const columns = item.columns.map(({ name, expression }) => ({
    name,
    expression: { ...expression, name: 'VALUE' },
  }));
  return new Scope([{ ...item, columns }], new Frame(undefined));
}

/** A check of a domain, as the catalog keeps it, over VALUE at offset 0. */
export function bindDomainCheck(text: string, domain: Domain): Expression {
  return bindText(
    text,
    'CHECK',
    valueScope(domain),
    usersTypes(undefined, { ...domain, name: '' }),
  );
}

const judges = new WeakMap<SqlType, DomainJudge>();

/** Checks by name; those of the domains that it is over come first. */
function checksOf({
  domain,
}: SqlType): readonly { readonly name: string; readonly holds: Evaluator }[] {
  if (domain === undefined) return [];
  const own = [...domain.checks].sort((a, b) => compareOrdinary(a.name, b.name));
  return [
    ...checksOf(domain.type),
    ...own.map(({ name, expression }) => ({
      name,
      holds: evaluatorOf(bindDomainCheck(expression, domain)),
    })),
  ];
}

function refusesNull({ domain }: SqlType): boolean {
  return domain !== undefined && (domain.notNull || refusesNull(domain.type));
}

/** What a domain, or an array type over one, asks of its values. */
export function judgeOf(type: SqlType): DomainJudge {
  const known = judges.get(type);
  if (known !== undefined) return known;
  const { schema, name, display } = type;
  const notNull = refusesNull(type);
  const checks = checksOf(type);
  const { element } = plainType(type);
  const judgeElement = element?.domain === undefined ? undefined : judgeOf(element);
  const judge: DomainJudge = (value, context) => {
    if (judgeElement !== undefined && value instanceof ArrayValue)
      for (const one of value.elements) judgeElement(one, context);
    if (notNull && value === null)
      throw new SqlError('23502', `domain ${display} does not allow null values`, {
        schema,
        dataType: name,
      });
    for (const check of checks)
      if (check.holds([value], context) === false)
        throw new SqlError(
          '23514',
          `value for domain ${display} violates check constraint "${check.name}"`,
          { schema, dataType: name, constraint: check.name },
        );
  };
  judges.set(type, judge);
  return judge;
}

/** What a stored expression may name: the types of its row and of what it goes into. */
function usersTypes(
  table: TableDescriptor | undefined,
  column: AssignmentTarget | undefined,
): readonly SqlType[] {
  const columns = [...(table?.columns ?? []), ...(column === undefined ? [] : [column])];
  return columns
    .map(({ type }) => type.element ?? type)
    .filter((type) => type.schema !== catalogSchema);
}

export function tableScope(table: TableDescriptor | undefined): Scope {
  return table === undefined
    ? emptyScope()
    : new Scope([tableItem(table, undefined)], new Frame(undefined));
}
