/**
 * The rows of a query become those of a table in new storage, with their entries in its indexes: CREATE TABLE AS, CREATE and
 * REFRESH MATERIALIZED VIEW. And the columns that such a table has.
 */
import type { BindContext } from '../bind/context.ts';
import type { Relation } from '../bind/relation.ts';
import type { QueryColumn } from '../bind/scope.ts';
import type { ColumnDescriptor, TableDescriptor } from '../catalog/descriptor.ts';
import { indexKeyText } from '../execute/constraint-errors.ts';
import type { Row } from '../execute/evaluate.ts';
import type { Run } from '../execute/run.ts';
import { IndexRules, rowKeyOf } from '../execute/table-rules.ts';
import { planSelect } from '../plan/planner.ts';
import { SqlError } from '../sql-error.ts';
import { TableStore } from '../storage/table-store.ts';
import { recordType, textType, unknownType } from '../types/type.ts';
import type { DdlContext } from './ddl-context.ts';
import { PairWriter, type RefuseDuplicate } from './pair-writer.ts';

/** @param given names in the place of the query's own, of the first columns. Throws 42601, 42701, 42P16, 0A000. */
export function columnsOfQuery(
  context: BindContext,
  columns: readonly QueryColumn[],
  given: readonly string[],
): ColumnDescriptor[] {
  if (given.length > columns.length)
    throw new SqlError('42601', 'too many column names were specified');
  const made = columns.map((column, i): ColumnDescriptor => {
    const type = column.type === unknownType ? textType : column.type;
    const name = given[i] ?? column.name;
    if (type === recordType) throw new SqlError('42P16', `column "${name}" has pseudo-type record`);
    if (!type.storable) throw context.unsupported(`column of type ${type.display}`);
    return {
      name,
      attributeNumber: i + 1,
      type,
      modifier: column.modifier,
      notNull: false,
      default: undefined,
    };
  });
  const twin = made.find((one, i) => made.findIndex((other) => other.name === one.name) < i);
  if (twin !== undefined)
    throw new SqlError('42701', `column "${twin.name}" specified more than once`);
  return made;
}

export interface FillOptions {
  /** What the query runs in. */
  readonly run: Run;
  /** What a unique index says to a row that it has already. Default: that it cannot be made. */
  readonly refuse?: RefuseDuplicate;
  /** The rows leave memory however few they are, so that the table says since when it is whole. */
  readonly flush?: boolean;
}

/** @param table with storage that is claimed; its rows have hidden ids. @returns how many rows there are. Throws 23505, DbError. */
export async function fillTable(
  ddl: DdlContext,
  table: TableDescriptor,
  query: Relation,
  { run, refuse, flush = false }: FillOptions,
): Promise<number> {
  const { transaction, usable } = ddl.options;
  const { evaluation } = run;
  const store = new TableStore(table);
  const indexes = table.indexes.map((index) => new IndexRules(table, index));
  const out = new PairWriter(ddl, refuse);
  const enter = (rules: IndexRules, row: Row, rowKey: Uint8Array): void => {
    const entry = rules.entry(row, rowKey, evaluation);
    if (entry === undefined) return;
    const { index } = rules.store;
    if (!entry.unique) transaction.insert(entry.key, entry.value);
    else
      out.add(entry.key, entry.value, () => {
        const key = indexKeyText(store, index, rules.valuesOf(row, evaluation), evaluation);
        return { index: index.name, key, table, row };
      });
  };
  let count = 0;
  const statisticsOf = (id: number) => ddl.snapshot.statisticsOf(id);
  const plan = planSelect(query, evaluation, { usable, statisticsOf });
  for await (const batch of plan.open({ ...run, usable })) {
    for (const row of batch) {
      const key = store.hiddenKey(BigInt(++count));
      transaction.insert(key, store.codec.encode(row));
      const rowKey = rowKeyOf(store, key);
      for (const rules of indexes) enter(rules, row, rowKey);
    }
    await out.relieve();
    if (run.pace.due()) await run.pace.rest();
  }
  await (flush ? out.flush() : out.end());
  ddl.options.noteRows(table, count);
  return count;
}
