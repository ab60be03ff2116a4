/**
 * Functions of schema `flotilla`: what an operator may do to ranges from SQL. They act at once, outside of the statement's
 * transaction, and are harmless to repeat. Refused with 0A000 where the engine knows no cluster.
 */
import { DbError, toHex } from '@flotilla/base';
import type { CatalogAccess } from '../catalog/catalog-access.ts';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import { KeyNames } from '../catalog/key-names.ts';
import type { ClusterInspector } from '../cluster/cluster-inspector.ts';
import { SqlError } from '../sql-error.ts';
import { IndexStore } from '../storage/index-store.ts';
import { TableStore } from '../storage/table-store.ts';
import { formatText, parseText } from '../types/text-codec.ts';
import {
  anyType,
  byteaType,
  int4Type,
  int8Type,
  regclassType,
  type SqlType,
  textType,
  unknownType,
  voidType,
} from '../types/type.ts';
import type { Datum } from '../types/values.ts';
import { catalogOf } from './sequences.ts';
import {
  type EvalContext,
  indexByName,
  manySignature,
  type Signature,
  signature,
  typedSignature,
} from './signature.ts';

const changing = { volatility: 'volatile' } as const;

/** Throws 42501, 0A000. */
function clusterOf({ authority, backend }: CatalogAccess, what: string): ClusterInspector {
  const { cluster } = backend;
  if (!authority.superuser)
    throw new SqlError('42501', `permission denied for function ${what}`, {
      detail: 'Only roles with the SUPERUSER attribute may move and split ranges.',
    });
  if (cluster === undefined)
    throw new SqlError('0A000', `${what} needs a cluster, and the engine knows of none`);
  return cluster;
}

/** What the cluster refuses is about the arguments. */
async function asked<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof DbError && error.code === 'INVALID_ARGUMENT')
      throw new SqlError('22023', error.message, { cause: error });
    throw error;
  }
}

/** Throws 42809, 42P01. */
function tableOf(oid: Datum, context: EvalContext): TableDescriptor {
  const { snapshot } = catalogOf(context).names;
  const found = snapshot.relations.get(Number(oid));
  if (found?.kind === 'table') return found;
  if (found !== undefined) throw new SqlError('42809', `"${found.name}" is not a table`);
  throw new SqlError('42809', 'only tables that hold rows can be split');
}

interface Column {
  readonly name: string;
  readonly type: SqlType;
  readonly modifier: number;
}

/** The values as the columns have them: what text leads to is what an INSERT would have made of it. */
function keyValues(
  values: readonly Datum[],
  types: readonly SqlType[],
  columns: readonly Column[],
  what: string,
  context: EvalContext,
): Datum[] {
  if (values.length > columns.length)
    throw new SqlError(
      '42601',
      `${what} has ${columns.length} key columns, and ${values.length} values were given`,
    );
  return values.map((value, i) => {
    const column = columns[i];
    const type = types[i];
    if (column === undefined || type === undefined) throw new RangeError('a value has a column');
    if (value === null)
      throw new SqlError('22004', `a split point is not NULL: column "${column.name}"`);
    if (type === column.type) return value;
    const text = type === unknownType ? String(value) : formatText(type, value, context);
    return parseText(column.type, text, context, column.modifier);
  });
}

/** Throws 55000: rows of such a table have no keys that anybody knows. */
export function tableSplitKey(
  table: TableDescriptor,
  values: readonly Datum[],
  types: readonly SqlType[],
  context: EvalContext,
): Uint8Array {
  const store = new TableStore(table);
  const { primaryKey } = table;
  if (values.length > 0 && primaryKey === undefined)
    throw new SqlError('55000', `table "${table.name}" has no primary key to be split by`);
  const columns = (primaryKey?.columns ?? []).flatMap((at) => table.columns[at] ?? []);
  return store.prefixKey(
    keyValues(values, types, columns, `the primary key of "${table.name}"`, context),
  );
}

/** Throws 42809, 0A000. */
function indexSplitKey(
  oid: Datum,
  values: readonly Datum[],
  types: readonly SqlType[],
  context: EvalContext,
): Uint8Array {
  for (const table of catalogOf(context).names.snapshot.tables()) {
    if (table.primaryKey?.indexOid === oid) return tableSplitKey(table, values, types, context);
    const index = table.indexes.find((one) => one.oid === oid);
    if (index === undefined) continue;
    const columns = index.columns.map(({ attributeNumber }): Column => {
      const column = table.columns.find((one) => one.attributeNumber === attributeNumber);
      if (column === undefined)
        throw new SqlError('0A000', `index "${index.name}" on an expression cannot be split`);
      return column;
    });
    const store = new IndexStore(
      table,
      index,
      columns.map(({ type }) => type),
    );
    return store.columnsKey(keyValues(values, types, columns, `index "${index.name}"`, context));
  }
  throw new SqlError('42809', 'that is not an index');
}

function split(key: Uint8Array, what: string, context: EvalContext): Datum {
  const access = catalogOf(context);
  const { backend } = access;
  const cluster = clusterOf(access, what);
  return backend.work.result(`split ${toHex(key)}`, async (signal) =>
    BigInt(await asked(cluster.split(key, signal))),
  );
}

function move(
  name: string,
  context: EvalContext,
  work: (cluster: ClusterInspector, signal: AbortSignal | undefined) => Promise<void>,
): Datum {
  const access = catalogOf(context);
  const { backend } = access;
  const cluster = clusterOf(access, name.startsWith('lease') ? 'move_lease' : 'move_replica');
  return backend.work.result(name, async (signal) => {
    await asked(work(cluster, signal));
    return '';
  });
}

function splitter(
  name: string,
  keyOf: (
    oid: Datum,
    values: readonly Datum[],
    types: readonly SqlType[],
    context: EvalContext,
  ) => Uint8Array,
): readonly Signature[] {
  return [
    typedSignature(
      name,
      [regclassType, anyType],
      int8Type,
      ({ parameters }) =>
        ([oid = null, ...values], context) =>
          split(keyOf(oid, values, parameters.slice(1), context), name, context),
      { ...changing, strict: false, variadic: true },
    ),
    signature(
      name,
      [regclassType],
      int8Type,
      (oid, _b, _c, context) => split(keyOf(oid, [], [], context), name, context),
      changing,
    ),
  ];
}

export const flotillaFunctions: ReadonlyMap<string, readonly Signature[]> = indexByName([
  ...splitter('split_table', (oid, values, types, context) =>
    tableSplitKey(tableOf(oid, context), values, types, context),
  ),
  ...splitter('split_index', indexSplitKey),
  signature(
    'move_lease',
    [int8Type, int4Type],
    voidType,
    (range, store, _c, context) =>
      move(`lease ${range} ${store}`, context, (cluster, signal) =>
        cluster.moveLease(Number(range), store as number, signal),
      ),
    changing,
  ),
  manySignature(
    'move_replica',
    [int8Type, int4Type, int4Type],
    voidType,
    ([range, from, to], context) =>
      move(`replica ${range} ${from} ${to}`, context, (cluster, signal) =>
        cluster.moveReplica(Number(range), { from: from as number, to: to as number }, signal),
      ),
    changing,
  ),
  signature(
    'key_text',
    [byteaType],
    textType,
    (key, _b, _c, context) =>
      new KeyNames(catalogOf(context).names.snapshot, context).textOf(key as Uint8Array),
    { volatility: 'stable' },
  ),
]);
