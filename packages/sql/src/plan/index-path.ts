/** Secondary indexes as the planner sees them: what their keys hold, and for which queries they have all the rows. */
import { conjuncts } from '../bind/conjuncts.ts';
import type { Expression } from '../bind/expression.ts';
import { expressionKey } from '../bind/expression-key.ts';
import { bindStored } from '../bind/stored-expression.ts';
import { columnOffset, type TableDescriptor } from '../catalog/descriptor.ts';
import { rulesOf } from '../execute/table-rules.ts';
import type { ComparisonOperator } from '../functions/signature.ts';
import type { IndexStore } from '../storage/index-store.ts';
import { comparatorOf } from '../types/compare.ts';
import { columnOf, dependsOnSession, type KeyPart } from './access-path.ts';

/** A secondary index as the planner sees it. */
export interface ReadableIndex {
  readonly store: IndexStore;
  /** The index's columns; where it is not unique, the primary key's behind them. */
  readonly parts: readonly KeyPart[];
  /** All of which a query must ask for. */
  readonly predicate: readonly Expression[];
  /** By offset into the table's columns: what an entry gives back by itself. */
  readonly holds: readonly boolean[];
}

const readable = new WeakMap<TableDescriptor, readonly ReadableIndex[]>();

/** The indexes of a table, made ready once for its descriptor. */
export function indexesOf(table: TableDescriptor): readonly ReadableIndex[] {
  let indexes = readable.get(table);
  if (indexes === undefined) {
    indexes = rulesOf(table).indexes.map(({ store }) => readableIndex(table, store));
    readable.set(table, indexes);
  }
  return indexes;
}

function readableIndex(table: TableDescriptor, store: IndexStore): ReadableIndex {
  const { index, types } = store;
  const own = index.columns.map((one, i): KeyPart => {
    const type = types[i];
    if (type === undefined) throw new RangeError('an index column has a type');
    const { descending, nullsFirst, expression } = one;
    const sorted = { type, descending, nullsFirst };
    if (expression !== undefined) {
      const bound = bindStored(expression, 'INDEX', table);
      return {
        ...sorted,
        column: -1,
        expression: dependsOnSession(bound) ? undefined : expressionKey(bound),
        name: expression,
        nullable: true,
      };
    }
    const offset = columnOffset(table, one.attributeNumber);
    const column = table.columns[offset];
    return {
      ...sorted,
      column: offset,
      expression: undefined,
      name: column?.name ?? '',
      nullable: column?.notNull !== true,
    };
  });
  const rows = (table.primaryKey?.columns ?? []).flatMap((offset): KeyPart[] => {
    const column = table.columns[offset];
    if (column === undefined) return [];
    const { type, name } = column;
    const ascending = { descending: false, nullsFirst: false, nullable: false };
    return [{ column: offset, expression: undefined, name, type, ...ascending }];
  });
  const holds = table.columns.map(() => false);
  for (const { column, type } of [...own, ...rows])
    if (column >= 0 && type.codec?.key?.exact === true) holds[column] = true;
  return {
    store,
    parts: index.unique ? own : [...own, ...rows],
    predicate:
      index.predicate === undefined
        ? []
        : conjuncts(bindStored(index.predicate, 'INDEX WHERE', table)),
    holds,
  };
}

/**
 * The conjuncts of a query that say no more than the predicate of a partial index; undefined: the index may lack rows that
 * the query asks for.
 */
export function impliedBy(
  predicate: readonly Expression[],
  asked: readonly Expression[],
): ReadonlySet<Expression> | undefined {
  const said = new Set<Expression>();
  for (const one of predicate) {
    if (dependsOnSession(one)) return undefined;
    const key = expressionKey(one);
    const same = asked.filter((other) => !dependsOnSession(other) && expressionKey(other) === key);
    for (const other of same) said.add(other);
    if (same.length === 0 && !asked.some((other) => implies(other, one))) return undefined;
  }
  return said;
}

/** Whether rows for which `asked` holds are rows for which `wanted` does. What it does not know it denies. */
function implies(asked: Expression, wanted: Expression): boolean {
  if (wanted.kind === 'or') return wanted.arguments.some((one) => isSame(asked, one));
  if (wanted.kind === 'is-null' && wanted.negated) return refusesNull(asked, wanted.argument);
  const [known, needed] = [limitOf(asked), limitOf(wanted)];
  if (known === undefined || needed === undefined) return false;
  if (!isSame(known.operand, needed.operand) || known.value.type !== needed.value.type)
    return false;
  const order = comparatorOf(known.value.type)(known.value.value, needed.value.value);
  return isWithin(known.operator, needed.operator, order);
}

function isSame(a: Expression, b: Expression): boolean {
  return !dependsOnSession(a) && !dependsOnSession(b) && expressionKey(a) === expressionKey(b);
}

/** The predicate does not hold where the operand is NULL. */
function refusesNull(asked: Expression, operand: Expression): boolean {
  const offset = columnOf(operand);
  const isOperand = (one: Expression) =>
    isSame(one, operand) || (offset !== undefined && columnOf(one) === offset);
  switch (asked.kind) {
    case 'comparison':
      return isOperand(asked.left) || isOperand(asked.right);
    case 'in':
      return isOperand(asked.left);
    case 'call':
      return (
        (asked.signature.strict || asked.signature.name === 'any =') &&
        asked.arguments.slice(0, asked.signature.strict ? undefined : 1).some(isOperand)
      );
    default:
      return false;
  }
}

interface Limit {
  readonly operand: Expression;
  readonly operator: ComparisonOperator;
  readonly value: Extract<Expression, { kind: 'constant' }>;
}

const turned: Readonly<Record<ComparisonOperator, ComparisonOperator>> = {
  '=': '=',
  '<>': '<>',
  '<': '>',
  '<=': '>=',
  '>': '<',
  '>=': '<=',
};

function limitOf(expression: Expression): Limit | undefined {
  if (expression.kind !== 'comparison') return undefined;
  const { left, right, operator } = expression;
  if (right.kind === 'constant' && right.value !== null)
    return { operand: left, operator, value: right };
  if (left.kind === 'constant' && left.value !== null)
    return { operand: right, operator: turned[operator], value: left };
  return undefined;
}

/** @param order of the known value beside the needed one */
function isWithin(known: ComparisonOperator, needed: ComparisonOperator, order: number): boolean {
  switch (needed) {
    case '=':
      return known === '=' && order === 0;
    case '<>':
      if (known === '=') return order !== 0;
      if (known === '<>') return order === 0;
      if (known === '<') return order <= 0;
      if (known === '>') return order >= 0;
      return known === '<=' ? order < 0 : order > 0;
    case '>':
      return known === '>' ? order >= 0 : (known === '>=' || known === '=') && order > 0;
    case '>=':
      return (known === '>' || known === '>=' || known === '=') && order >= 0;
    case '<':
      return known === '<' ? order <= 0 : (known === '<=' || known === '=') && order < 0;
    case '<=':
      return (known === '<' || known === '<=' || known === '=') && order <= 0;
  }
}
