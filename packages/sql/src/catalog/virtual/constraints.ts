/** pg_constraint, pg_depend, pg_description, pg_shdescription. */
import { ArrayValue } from '../../types/values.ts';
import { allIndexes } from '../definitions.ts';
import type { Deferrable, ReferentialAction, TableDescriptor } from '../descriptor.ts';
import type { RowsOf, SystemRow } from './layout.ts';
import { defaultOid, roleOid, schemaOid } from './system-oids.ts';
import type { VirtualSource } from './virtual-table.ts';

const classOid = 1259;
const constraintClassOid = 2606;
const databaseClassOid = 1262;
const roleClassOid = 1260;
/** Attribute numbers are smaller than the oids of what users make. */
const firstUserOid = 16_384;
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
          contype: index.primary === true ? 'p' : 'u',
          conindid: index.oid,
          conkey: new ArrayValue(index.columns.map((one) => one.attributeNumber)),
          ...deferrability(index),
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
        ...deferrability(key),
      };
  }
  for (const { id, schema, domain } of snapshot.types())
    for (const check of domain?.checks ?? [])
      yield {
        connamespace: schemaOid(snapshot, schema),
        convalidated: check.notValid !== true,
        contypid: id,
        conislocal: true,
        connoinherit: false,
        confupdtype: ' ',
        confdeltype: ' ',
        confmatchtype: ' ',
        oid: check.oid,
        conname: check.name,
        contype: 'c',
        conbin: check.expression,
      };
}

function deferrability({ deferrable }: { readonly deferrable?: Deferrable }): SystemRow {
  return {
    condeferrable: deferrable !== undefined,
    condeferred: deferrable === 'initially deferred',
  };
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
  for (const relation of snapshot.sorted()) {
    const indexes = relation.kind === 'table' ? allIndexes(relation) : [];
    for (const [key, description] of Object.entries(relation.comments)) {
      const number = Number(key);
      if (number < firstUserOid)
        yield { objoid: relation.id, classoid: classOid, objsubid: number, description };
      else {
        const isIndex = indexes.some((one) => one.oid === number);
        const classoid = isIndex ? classOid : constraintClassOid;
        if (isIndex || (relation.kind === 'table' && hasConstraint(relation, number)))
          yield { objoid: number, classoid, objsubid: 0, description };
      }
    }
  }
  for (const { id, comments, domain } of snapshot.types())
    for (const [key, description] of Object.entries(comments))
      if (key === '0') yield { objoid: id, classoid: typeClassOid, description };
      else if (domain?.checks.some(({ oid }) => String(oid) === key) === true)
        yield { objoid: Number(key), classoid: constraintClassOid, description };
  for (const schema of snapshot.schemas.values())
    if (schema.comment !== undefined)
      yield { objoid: schema.id, classoid: namespaceClassOid, description: schema.comment };
}

/** Those who dropped it have left its comment. */
function hasConstraint({ primaryKey, indexes, checks, foreignKeys }: TableDescriptor, oid: number) {
  return (
    primaryKey?.constraintOid === oid ||
    indexes.some((one) => one.constraintOid === oid) ||
    [...checks, ...foreignKeys].some((one) => one.oid === oid)
  );
}

function* sharedDescriptions({ snapshot }: VirtualSource): Iterable<SystemRow> {
  for (const { id, comment } of snapshot.databases.values())
    if (comment !== undefined)
      yield { objoid: id, classoid: databaseClassOid, description: comment };
  for (const role of snapshot.roles.values())
    if (role.comment !== undefined)
      yield {
        objoid: roleOid(snapshot, role.name),
        classoid: roleClassOid,
        description: role.comment,
      };
}

export const constraintTables: Readonly<Record<string, RowsOf>> = {
  pg_constraint: constraints,
  pg_depend: dependencies,
  pg_description: descriptions,
  pg_shdescription: sharedDescriptions,
};

export const describedClasses: Readonly<Record<string, number>> = {
  pg_class: classOid,
  pg_type: typeClassOid,
  pg_namespace: namespaceClassOid,
  pg_constraint: constraintClassOid,
};
