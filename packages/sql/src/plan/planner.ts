/** From bound statements to plans. Rule based: the primary key is the only way to avoid a full scan. */
import type {
  BoundDelete,
  BoundInsert,
  BoundReturning,
  BoundSelect,
  BoundSource,
  BoundStatement,
  BoundUpdate,
} from '../bind/bound.ts';
import { children, type Expression } from '../bind/expression.ts';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import { type Evaluator, evaluatorOf } from '../execute/evaluate.ts';
import { type KeyColumn, TableStore } from '../storage/table-store.ts';
import { type AccessPath, chooseAccess, isPointAccess } from './access-path.ts';
import { explainScan, explainSelect, explainWrite } from './explain.ts';
import type {
  CompiledBound,
  DeletePlan,
  InsertPlan,
  Plan,
  ReturningPlan,
  SelectPlan,
  SortColumn,
  Source,
  TableScan,
  UpdatePlan,
} from './plan.ts';

const stores = new WeakMap<TableDescriptor, TableStore>();

/** Keys and codecs of a table, made once for its descriptor. */
export function storeOf(table: TableDescriptor): TableStore {
  let store = stores.get(table);
  if (store === undefined) {
    store = new TableStore(table);
    stores.set(table, store);
  }
  return store;
}

export function planStatement(statement: BoundStatement): Plan {
  switch (statement.kind) {
    case 'select':
      return planSelect(statement);
    case 'insert':
      return planInsert(statement);
    case 'update':
      return planUpdate(statement);
    case 'delete':
      return planDelete(statement);
    case 'explain': {
      const inner = planStatement(statement.statement);
      return {
        kind: 'explain',
        lines: inner.kind !== 'explain' && 'lines' in inner ? inner.lines() : [],
      };
    }
    default:
      return statement;
  }
}

function planSelect(select: BoundSelect): SelectPlan {
  const { source, grouping, outputs, columns } = select;
  const table = source.kind === 'table' ? source.table : undefined;
  const keyColumns = table === undefined ? [] : storeOf(table).keyColumns;
  const chosen =
    table === undefined
      ? { access: undefined, filter: select.where }
      : chooseAccess(select.where, keyColumns);
  const inputs =
    grouping === undefined
      ? outputs
      : [...grouping.keys, ...grouping.aggregates.flatMap((one) => one.argument ?? [])];
  const direction =
    chosen.access === undefined || grouping !== undefined || select.distinct
      ? undefined
      : storageOrder(select, keyColumns, chosen.access);
  const compiled =
    table === undefined || chosen.access === undefined
      ? compileSource(source)
      : compileScan(table, chosen.access, [...inputs, chosen.filter], direction === 'reverse');
  const sorted = select.order.length === 0 || direction !== undefined;
  const sort: SortColumn[] = sorted
    ? []
    : select.order.map((key) => {
        const type = outputs[key.output]?.type;
        if (type === undefined) throw new RangeError('sort key is an output');
        return { ...key, type };
      });
  const plan = {
    kind: 'select',
    source: compiled,
    filter: compile(chosen.filter),
    grouping:
      grouping === undefined
        ? undefined
        : {
            keys: grouping.keys.map(evaluatorOf),
            keyTypes: grouping.keys.map((key) => key.type),
            aggregates: grouping.aggregates.map((expression) => ({
              expression,
              argument: compile(expression.argument),
            })),
            having: compile(grouping.having),
          },
    outputs: outputs.map(evaluatorOf),
    outputTypes: outputs.map((output) => output.type),
    visible: columns.length,
    distinct: select.distinct,
    sort,
    limit: compile(select.limit),
    offset: compile(select.offset),
    isPointLookup: isPointLookup(select, compiled, chosen.filter),
  } as const;
  return { ...plan, lines: () => explainSelect(select, plan, chosen.filter) };
}

function isPointLookup(
  select: BoundSelect,
  source: Source,
  filter: Expression | undefined,
): boolean {
  return (
    source.kind === 'table' &&
    source.points &&
    source.equals.every((values) => values.length === 1) &&
    filter === undefined &&
    select.grouping === undefined &&
    select.limit === undefined &&
    select.offset === undefined
  );
}

function compile(expression: Expression | undefined): Evaluator | undefined {
  return expression === undefined ? undefined : evaluatorOf(expression);
}

function compileSource(source: BoundSource): Source {
  switch (source.kind) {
    case 'values':
      return { kind: 'values', rows: source.rows.map((row) => row.map(evaluatorOf)) };
    case 'series':
      return { kind: 'series', type: source.type, arguments: source.arguments.map(evaluatorOf) };
    default:
      return { kind: 'none' };
  }
}

function compileScan(
  table: TableDescriptor,
  access: AccessPath,
  readers: readonly (Expression | undefined)[],
  reverse: boolean,
): TableScan {
  const store = storeOf(table);
  const needed = table.columns.map(() => false);
  for (const reader of readers) if (reader !== undefined) markColumns(reader, needed);
  const bound = (one: AccessPath['lower']): CompiledBound | undefined =>
    one === undefined ? undefined : { evaluate: evaluatorOf(one.value), inclusive: one.inclusive };
  return {
    kind: 'table',
    store,
    access,
    points: isPointAccess(access, store.keyColumns),
    equals: access.equals.map((values) => values.map(evaluatorOf)),
    lower: bound(access.lower),
    upper: bound(access.upper),
    needed,
    reverse,
  };
}

function markColumns(expression: Expression, needed: boolean[]): void {
  if (expression.kind === 'column') needed[expression.index] = true;
  for (const child of children(expression)) markColumns(child, needed);
}

/** Whether rows come from storage in the wanted order, forwards or backwards. Key columns are never NULL. */
function storageOrder(
  select: BoundSelect,
  keyColumns: readonly KeyColumn[],
  access: AccessPath,
): 'forward' | 'reverse' | undefined {
  const { order, outputs } = select;
  if (order.length === 0 || keyColumns.length === 0) return undefined;
  const fixed = new Set<number>();
  access.equals.forEach((values, i) => {
    const column = keyColumns[i];
    if (values.length === 1 && column !== undefined) fixed.add(column.index);
  });
  let position = 0;
  let descending: boolean | undefined;
  for (const key of order) {
    if (position >= keyColumns.length) break; // the whole key is unique: nothing after it matters
    const output = outputs[key.output];
    if (output === undefined || output.kind !== 'column') return undefined;
    if (fixed.has(output.index)) continue;
    while (fixed.has(keyColumns[position]?.index ?? -1)) position++;
    if (position >= keyColumns.length) break;
    if (keyColumns[position]?.index !== output.index) return undefined;
    if (descending !== undefined && descending !== key.descending) return undefined;
    descending = key.descending;
    position++;
  }
  return descending === true ? 'reverse' : 'forward';
}

function compileReturning(returning: BoundReturning | undefined): ReturningPlan | undefined {
  return returning === undefined ? undefined : { outputs: returning.outputs.map(evaluatorOf) };
}

function planInsert(insert: BoundInsert): InsertPlan {
  const { table, source } = insert;
  const select = source.kind === 'select' ? planSelect(source.select) : undefined;
  return {
    kind: 'insert',
    store: storeOf(table),
    targets: insert.targets,
    source:
      source.kind === 'values'
        ? { kind: 'values', rows: source.rows.map((row) => row.map(compile)) }
        : { kind: 'select', select: select ?? planSelect(source.select) },
    defaults: insert.defaults.map(compile),
    returning: compileReturning(insert.returning),
    lines: () => explainWrite('Insert', table.name, select?.lines() ?? ['Values']),
  };
}

/** Writes need the whole row: to write it back, to print it, to return it. */
function wholeRow(table: TableDescriptor): boolean[] {
  return table.columns.map(() => true);
}

function planUpdate(update: BoundUpdate): UpdatePlan {
  const { table } = update;
  const store = storeOf(table);
  const { access, filter } = chooseAccess(update.where, store.keyColumns);
  const scan = { ...compileScan(table, access, [], false), needed: wholeRow(table) };
  const keyOffsets = new Set(store.keyColumns.map((column) => column.index));
  return {
    kind: 'update',
    scan,
    filter: compile(filter),
    assignments: update.assignments.map(({ column, value }) => ({ column, value: compile(value) })),
    changesKey: update.assignments.some(({ column }) => keyOffsets.has(column)),
    returning: compileReturning(update.returning),
    lines: () => explainWrite('Update', table.name, explainScan(scan, update.alias, filter)),
  };
}

function planDelete(statement: BoundDelete): DeletePlan {
  const { table } = statement;
  const { access, filter } = chooseAccess(statement.where, storeOf(table).keyColumns);
  const scan = { ...compileScan(table, access, [], false), needed: wholeRow(table) };
  return {
    kind: 'delete',
    scan,
    filter: compile(filter),
    returning: compileReturning(statement.returning),
    lines: () => explainWrite('Delete', table.name, explainScan(scan, statement.alias, filter)),
  };
}
