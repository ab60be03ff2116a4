/** Violations of constraints, as PostgreSQL words them. */
import type { CheckDescriptor, IndexDescriptor } from '../catalog/descriptor.ts';
import type { EvalContext } from '../functions/signature.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { TableStore } from '../storage/table-store.ts';
import { quoteIdentifier } from '../types/identifier.ts';
import { formatText } from '../types/text-codec.ts';
import type { Row } from './evaluate.ts';

/** Throws 23502. */
export function checkNotNull(store: TableStore, row: Row, context: EvalContext): void {
  const { table } = store;
  for (let i = 0; i < table.columns.length; i++) {
    const column = table.columns[i];
    if (column === undefined || !column.notNull || row[i] !== null) continue;
    throw new SqlError(
      '23502',
      `null value in column "${column.name}" of relation "${table.name}" violates not-null constraint`,
      {
        detail: failingRow(store, row, context),
        schema: table.schema,
        table: table.name,
        column: column.name,
      },
    );
  }
}

export function checkViolation(
  store: TableStore,
  check: Pick<CheckDescriptor, 'name'>,
  row: Row,
  context: EvalContext,
): SqlError {
  const { table } = store;
  return new SqlError(
    '23514',
    `new row for relation "${table.name}" violates check constraint "${check.name}"`,
    {
      detail: failingRow(store, row, context),
      schema: table.schema,
      table: table.name,
      constraint: check.name,
    },
  );
}

function failingRow(store: TableStore, row: Row, context: EvalContext): string {
  const { columns } = store.table;
  const values = columns.map((_column, i) => shownValue(store, row[i] ?? null, i, context));
  return `Failing row contains (${values.join(', ')}).`;
}

/** As PostgreSQL shows values in details: cut to 64 bytes. */
function shownValue(store: TableStore, value: Datum, i: number, context: EvalContext): string {
  const type = store.table.columns[i]?.type;
  if (value === null || type === undefined) return 'null';
  const text = formatText(type, value, context);
  if (Buffer.byteLength(text) <= 64) return text;
  let cut = '';
  for (const character of text) {
    if (Buffer.byteLength(cut + character) > 64) break;
    cut += character;
  }
  return `${cut}...`;
}

/** 23505 with the key's columns in the detail. */
export function duplicateKey(store: TableStore, key: Uint8Array, context: EvalContext): SqlError {
  const { table, keyColumns } = store;
  const row = new Array<Datum>(table.columns.length).fill(null);
  store.decodeKeyInto(row, key);
  const offsets = keyColumns.map(({ index }) => index);
  return duplicate(
    store,
    table.primaryKey?.constraint ?? '',
    keyText(store, offsets, row, context),
  );
}

/** As `duplicateKey`, for a unique index and a row that would be in it twice. */
export function duplicateEntry(
  store: TableStore,
  index: IndexDescriptor,
  values: Row,
  context: EvalContext,
): SqlError {
  return duplicate(store, index.name, indexKeyText(store, index, values, context));
}

function duplicate(store: TableStore, constraint: string, key: string): SqlError {
  const { table } = store;
  return new SqlError('23505', `duplicate key value violates unique constraint "${constraint}"`, {
    detail: `Key ${key} already exists.`,
    schema: table.schema,
    table: table.name,
    constraint,
  });
}

/** `(a, b)=(1, 2)`. */
export function keyText(
  store: TableStore,
  offsets: readonly number[],
  row: Row,
  context: EvalContext,
): string {
  const { columns } = store.table;
  const names = offsets.map((offset) => quoteIdentifier(columns[offset]?.name ?? ''));
  const values = offsets.map((offset) => {
    const column = columns[offset];
    const value = row[offset] ?? null;
    if (column === undefined || value === null) return 'null';
    // A key does not hold a char(n)'s padding or a numeric's scale.
    const { type, modifier } = column;
    const whole =
      modifier < 0 ? value : (type.codec?.modifier?.apply(value, modifier, true) ?? value);
    return formatText(type, whole, context);
  });
  return `(${names.join(', ')})=(${values.join(', ')})`;
}

export function indexKeyText(
  store: TableStore,
  index: IndexDescriptor,
  values: Row,
  context: EvalContext,
): string {
  const { columns } = store.table;
  const own = index.columns.map((one) =>
    columns.find((column) => column.attributeNumber === one.attributeNumber),
  );
  const names = index.columns.map(
    (one, i) => one.expression ?? quoteIdentifier(own[i]?.name ?? ''),
  );
  const shown = values.map((value, i) => {
    const type = own[i]?.type;
    if (value === null) return 'null';
    return type === undefined ? String(value) : formatText(type, value, context);
  });
  return `(${names.join(', ')})=(${shown.join(', ')})`;
}
