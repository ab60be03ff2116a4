/** pg_constraint, pg_depend, pg_description. */
import { ArrayValue } from '../../types/values.ts';
import type { ReferentialAction, TableDescriptor } from '../descriptor.ts';
import type { RowsOf, SystemRow } from './layout.ts';
import { defaultOid, schemaOid } from './system-oids.ts';
import type { VirtualSource } from './virtual-table.ts';

const classOid = 1259;
const typeClassOid = 1247;
const namespaceClassOid = 2615;
const attributeDefaultOid = 2604;

const actions: Readonly<Record<ReferentialAction, string>> = {
  'no action': 'a',
  restrict: 'r',
  cascade: 'c',
  'set null': 'n',
  'set default': 'd',
};

function* constraints({ snapshot }: VirtualSource): Iterable<SystemRow> {
  for (const table of snapshot.tables()) {
    const common = {
      connamespace: schemaOid(snapshot, table.schema),
      convalidated: true,
      conrelid: table.id,
      conislocal: true,
      connoinherit: true,
      confupdtype: ' ',
      confdeltype: ' ',
      confmatchtype: ' ',
    };
    const { primaryKey } = table;
    if (primaryKey !== undefined)
      yield {
        ...common,
        oid: primaryKey.constraintOid,
        conname: primaryKey.constraint,
        contype: 'p',
        conindid: primaryKey.indexOid,
        conkey: new ArrayValue(
          primaryKey.columns.map((at) => table.columns[at]?.attributeNumber ?? 0),
        ),
      };
    for (const index of table.indexes)
      if (index.constraintOid !== 0)
        yield {
          ...common,
          oid: index.constraintOid,
          conname: index.name,
          contype: 'u',
          conindid: index.oid,
          conkey: new ArrayValue(index.columns.map((one) => one.attributeNumber)),
        };
    for (const check of table.checks)
      yield {
        ...common,
        oid: check.oid,
        conname: check.name,
        contype: 'c',
        connoinherit: false,
        conkey: new ArrayValue(columnsIn(table, check.expression)),
        conbin: check.expression,
      };
    for (const key of table.foreignKeys)
      yield {
        ...common,
        oid: key.oid,
        conname: key.name,
        contype: 'f',
        conindid: snapshot.table(key.target)?.primaryKey?.indexOid ?? 0,
        conkey: new ArrayValue(key.columns),
        confrelid: key.target,
        confkey: new ArrayValue(key.targetColumns),
        confupdtype: actions[key.onUpdate],
        confdeltype: actions[key.onDelete],
        confmatchtype: key.matchFull ? 'f' : 's',
      };
  }
}

/** Columns that a printed expression names. */
function columnsIn(table: TableDescriptor, text: string): number[] {
  const words = new Set(text.match(/[\w$]+|"(?:[^"]|"")+"/g) ?? []);
  return table.columns
    .filter(({ name }) => words.has(name) || words.has(`"${name}"`))
    .map((column) => column.attributeNumber);
}

function* dependencies({ snapshot }: VirtualSource): Iterable<SystemRow> {
  for (const relation of snapshot.sorted()) {
    if (relation.kind === 'sequence' && relation.ownedBy !== undefined) {
      const { table: id, attributeNumber } = relation.ownedBy;
      const column = snapshot
        .table(id)
        ?.columns.find((one) => one.attributeNumber === attributeNumber);
      yield {
        classid: classOid,
        objid: relation.id,
        refclassid: classOid,
        refobjid: id,
        refobjsubid: attributeNumber,
        deptype: column?.identity === undefined ? 'a' : 'i',
      };
    }
    if (relation.kind !== 'table') continue;
    for (const column of relation.columns)
      if (column.default?.kind === 'nextval' && column.identity === undefined)
        yield {
          classid: attributeDefaultOid,
          objid: defaultOid(relation, column),
          refclassid: classOid,
          refobjid: column.default.sequence,
          deptype: 'n',
        };
  }
}

function* descriptions({ snapshot }: VirtualSource): Iterable<SystemRow> {
  for (const relation of snapshot.sorted())
    for (const [number, description] of Object.entries(relation.comments))
      yield { objoid: relation.id, classoid: classOid, objsubid: Number(number), description };
  for (const { id, comments } of snapshot.types())
    for (const description of Object.values(comments))
      yield { objoid: id, classoid: typeClassOid, description };
  for (const schema of snapshot.schemas.values())
    if (schema.comment !== undefined)
      yield { objoid: schema.id, classoid: namespaceClassOid, description: schema.comment };
}

export const constraintTables: Readonly<Record<string, RowsOf>> = {
  pg_constraint: constraints,
  pg_depend: dependencies,
  pg_description: descriptions,
};

export const describedClasses: Readonly<Record<string, number>> = {
  pg_class: classOid,
  pg_type: typeClassOid,
  pg_namespace: namespaceClassOid,
};
