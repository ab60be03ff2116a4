/**
 * Changes of the catalog. Each is one transaction that reads and bumps the version key, so that of two at once one
 * conflicts and runs again on what the other left. A table's rows are deleted after its descriptor is gone; what fails
 * then is invisible garbage, because ids are never used again.
 */
import { DbError, keySuccessor, type Logger, type Span } from '@flotilla/base';
import type { TableDefinition, TableName } from '../bind/bound.ts';
import type { KvDatabase, KvTransaction } from '../kv-transaction.ts';
import { conflictRunsMax, dropChunkRows } from '../limits.ts';
import type { Notice } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { TableStore } from '../storage/table-store.ts';
import type { Catalog } from './catalog.ts';
import { decodeDescriptor, encodeDescriptor, type TableDescriptor } from './descriptor.ts';
import {
  catalogVersionKey,
  decodeCounter,
  descriptorKey,
  encodeCounter,
  firstDescriptorId,
  lastDescriptorId,
  nameKey,
  nextDescriptorIdKey,
} from './keys.ts';

export interface DdlOptions {
  readonly database: KvDatabase;
  readonly catalog: Catalog;
  readonly logger: Logger;
  /** Pauses before run `attempt` of a change that met a conflict. */
  readonly backOff: (attempt: number) => Promise<void>;
  readonly onNotice: (notice: Notice) => void;
}

/** Throws SqlError 42P07, DbError. */
export async function createTable(
  options: DdlOptions,
  definition: TableDefinition,
  ifNotExists: boolean,
): Promise<void> {
  await change(options, async (transaction, notices) => {
    const { schema, name } = definition;
    const existing = await transaction.get(nameKey(schema, name));
    if (existing !== undefined) {
      if (!ifNotExists) throw new SqlError('42P07', `relation "${name}" already exists`);
      notices.push({
        severity: 'NOTICE',
        code: '42P07',
        message: `relation "${name}" already exists, skipping`,
      });
      return false;
    }
    const id = await takeId(transaction);
    writeTable(transaction, describe(id, definition));
    return true;
  });
}

function describe(id: number, definition: TableDefinition): TableDescriptor {
  const { schema, name, primaryKey } = definition;
  const columns = definition.columns.map((column, i) => ({ ...column, attributeNumber: i + 1 }));
  return { id, schema, name, columns, primaryKey };
}

/** Throws SqlError 42P01, DbError. */
export async function dropTables(
  options: DdlOptions,
  tables: readonly TableName[],
  ifExists: boolean,
): Promise<void> {
  const names = distinctNames(tables);
  let dropped: TableDescriptor[] = [];
  await change(options, async (transaction, notices) => {
    dropped = [];
    const missing: TableName[] = [];
    for (const { schema, name } of names) {
      const table = await read(transaction, schema, name);
      if (table === undefined) missing.push({ schema, name });
      else dropped.push(table);
    }
    const [first] = missing;
    if (first !== undefined && !ifExists && first.schema !== 'public')
      throw new SqlError('3F000', `schema "${first.schema}" does not exist`);
    if (first !== undefined && !ifExists)
      throw new SqlError('42P01', `table "${first.name}" does not exist`);
    for (const { schema, name } of missing)
      notices.push({
        severity: 'NOTICE',
        code: '00000',
        message:
          schema === 'public'
            ? `table "${name}" does not exist, skipping`
            : `schema "${schema}" does not exist, skipping`,
      });
    for (const table of dropped) {
      transaction.delete(nameKey(table.schema, table.name));
      transaction.delete(descriptorKey(table.id));
    }
    return dropped.length > 0;
  });
  for (const table of dropped) await deleteRows(options, table);
}

/** Puts an empty table of a new id in the place of each. Throws SqlError 42P01, DbError. */
export async function truncateTables(
  options: DdlOptions,
  tables: readonly TableName[],
): Promise<void> {
  let emptied: TableDescriptor[] = [];
  await change(options, async (transaction) => {
    emptied = [];
    for (const { schema, name } of distinctNames(tables)) {
      const table = await read(transaction, schema, name);
      if (table === undefined) throw new SqlError('42P01', `relation "${name}" does not exist`);
      emptied.push(table);
    }
    let id = await takeId(transaction, emptied.length);
    for (const table of emptied) {
      transaction.delete(descriptorKey(table.id));
      transaction.put(nameKey(table.schema, table.name), encodeCounter(id));
      transaction.insert(descriptorKey(id), encodeDescriptor({ ...table, id }));
      id++;
    }
    return true;
  });
  for (const table of emptied) await deleteRows(options, table);
}

function distinctNames(tables: readonly TableName[]): TableName[] {
  const seen = new Set<string>();
  return tables.filter(({ schema, name }) => {
    const key = `${schema}\0${name}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

/** Runs one change until it meets no conflict; notices are sent once. @param apply false = nothing to change */
async function change(
  options: DdlOptions,
  apply: (transaction: KvTransaction, notices: Notice[]) => Promise<boolean>,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const transaction = options.database.begin();
    const notices: Notice[] = [];
    try {
      const version = decodeCounter(await transaction.get(catalogVersionKey)) + 1;
      if (await apply(transaction, notices)) {
        transaction.put(catalogVersionKey, encodeCounter(version));
        await transaction.commit();
        options.catalog.advance(version);
      } else transaction.rollback();
      for (const notice of notices) options.onNotice(notice);
      return;
    } catch (error) {
      transaction.rollback();
      const retryable =
        error instanceof DbError && (error.code === 'CONFLICT' || error.code === 'KEY_EXISTS');
      if (!retryable || attempt >= conflictRunsMax) throw error;
      await options.backOff(attempt);
    }
  }
}

async function read(
  transaction: KvTransaction,
  schema: string,
  name: string,
): Promise<TableDescriptor | undefined> {
  const idBytes = await transaction.get(nameKey(schema, name));
  if (idBytes === undefined) return undefined;
  const bytes = await transaction.get(descriptorKey(decodeCounter(idBytes)));
  if (bytes === undefined) throw new DbError('CONFLICT', 'the table was changed meanwhile');
  return decodeDescriptor(bytes);
}

async function takeId(transaction: KvTransaction, count = 1): Promise<number> {
  const next = decodeCounter(await transaction.get(nextDescriptorIdKey));
  const id = Math.max(next, firstDescriptorId);
  if (id + count > lastDescriptorId) throw new SqlError('54000', 'no table ids are left');
  transaction.put(nextDescriptorIdKey, encodeCounter(id + count));
  return id;
}

function writeTable(transaction: KvTransaction, table: TableDescriptor): void {
  transaction.insert(nameKey(table.schema, table.name), encodeCounter(table.id));
  transaction.insert(descriptorKey(table.id), encodeDescriptor(table));
}

/** Never fails the statement: the table is gone already. */
async function deleteRows(options: DdlOptions, table: TableDescriptor): Promise<void> {
  const span = new TableStore(table).wholeSpan();
  try {
    await deleteWhole(options.database, span);
  } catch (error) {
    if (!(error instanceof DbError)) throw error;
    options.logger.warn(
      { table: table.name, id: table.id, code: error.code, error: error.message },
      'dropped_rows_left_behind',
    );
  }
}

/** At once if the store can, else in chunks, which shrink where one still covers too much. */
async function deleteWhole(database: KvDatabase, span: Span): Promise<void> {
  if (await tryDelete(database, span)) return;
  let { startKey } = span;
  let chunkRows = dropChunkRows;
  for (;;) {
    let last: Uint8Array | undefined;
    let rows = 0;
    for await (const batch of database
      .begin()
      .scan({ startKey, endKey: span.endKey }, { limit: chunkRows })) {
      rows += batch.length;
      last = batch[batch.length - 1]?.key ?? last;
    }
    if (last === undefined) return;
    const endKey = keySuccessor(last);
    if (await tryDelete(database, { startKey, endKey })) {
      startKey = endKey;
      if (rows < chunkRows) return;
      continue;
    }
    if (rows <= 1) throw new DbError('NOT_SUPPORTED', 'a single row could not be deleted');
    chunkRows = Math.max(1, Math.floor(Math.min(chunkRows, rows) / 2));
  }
}

async function tryDelete(database: KvDatabase, span: Span): Promise<boolean> {
  const transaction = database.begin();
  transaction.deleteSpan(span);
  try {
    await transaction.commit();
    return true;
  } catch (error) {
    if (error instanceof DbError && (error.code === 'NOT_SUPPORTED' || error.code === 'TOO_LARGE'))
      return false;
    throw error;
  }
}
