/** Functions that queries of the system tables call: definitions in SQL, visibility, comments, privileges, sizes. */

import {
  allIndexes,
  bareExpression,
  checkText,
  foreignKeyText,
  indexColumnText,
  indexText,
  primaryKeyText,
  shownRelation,
  uniqueText,
} from '../catalog/definitions.ts';
import type { IndexDescriptor, TableDescriptor } from '../catalog/descriptor.ts';
import { parseQualifiedName } from '../catalog/qualified-name.ts';
import { isMaterialized, storedQueryOf, wordOf } from '../catalog/relation-word.ts';
import { relationOid, sessionNames, userTypeText } from '../catalog/session-names.ts';
import { isSystemSchema } from '../catalog/snapshot.ts';
import { isTemporarySchema, temporaryAlias } from '../catalog/temporary-schema.ts';
import { describedClasses } from '../catalog/virtual/constraints.ts';
import { systemShapes } from '../catalog/virtual/layout.ts';
import { roleNames, roleOid } from '../catalog/virtual/system-oids.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { quoteIdentifier } from '../types/identifier.ts';
import {
  arrayTypeOf,
  boolType,
  displayType,
  int4Type,
  int8Type,
  nameType,
  nodeTreeType,
  oidType,
  regclassType,
  regtypeType,
  type SqlType,
  textType,
  typeByOid,
} from '../types/type.ts';
import { ArrayValue } from '../types/values.ts';
import { privilegeFunctions } from './privilege-functions.ts';
import { roleFunctions } from './role-functions.ts';
import { catalogOf } from './sequences.ts';
import { type EvalContext, type Implementation, type Signature, signature } from './signature.ts';

const stable = { volatility: 'stable' } as const;

function stableFunction(
  name: string,
  parameters: readonly SqlType[],
  result: SqlType,
  implementation: Implementation,
): Signature {
  return signature(name, parameters, result, implementation, stable);
}

const nameArray = arrayTypeOf(nameType);
if (nameArray === undefined) throw new RangeError('there are arrays of names');

/** format_type: '???' for what there is not, as PostgreSQL has it. */
const formatType: Implementation = (oid, modifier, _c, context) => {
  if (oid === null) return null;
  if (oid === 0) return '-';
  const type = typeByOid(Number(oid));
  if (type === undefined) return userTypeText(catalogOf(context).names, Number(oid)) ?? '???';
  return displayType(type, modifier === null ? -1 : Number(modifier));
};

interface Found {
  readonly table: TableDescriptor;
  readonly index: IndexDescriptor;
}

function indexByOid(oid: Datum, context: EvalContext): Found | undefined {
  for (const table of catalogOf(context).names.snapshot.tables())
    for (const index of allIndexes(table)) if (index.oid === oid) return { table, index };
  return undefined;
}

const indexDefinition: Implementation = (oid, column, pretty, context) => {
  const found = indexByOid(oid, context);
  if (found === undefined) return null;
  const { table, index } = found;
  const at = column === null ? 0 : Number(column);
  // With one argument the table's schema is always named.
  if (column === null) return indexText(table, index, undefined);
  if (at === 0) return indexText(table, index, catalogOf(context).names, pretty === true);
  return indexColumnText(table, index, at - 1, true);
};

const constraintDefinition: Implementation = (oid, pretty, _c, context) => {
  const { names } = catalogOf(context);
  for (const table of names.snapshot.tables()) {
    const { primaryKey } = table;
    if (primaryKey?.constraintOid === oid) return primaryKeyText(table, primaryKey);
    const index = table.indexes.find((one) => one.constraintOid === oid);
    if (index !== undefined) return uniqueText(table, index);
    const check = table.checks.find((one) => one.oid === oid);
    if (check !== undefined) return checkText(check, pretty === true);
    const key = table.foreignKeys.find((one) => one.oid === oid);
    if (key !== undefined) return foreignKeyText(table, key, names.snapshot, names);
  }
  for (const { domain } of names.snapshot.types()) {
    const check = domain?.checks.find((one) => one.oid === oid);
    if (check === undefined) continue;
    return `${checkText(check, pretty === true)}${check.notValid === true ? ' NOT VALID' : ''}`;
  }
  return null;
};

const isRelationVisible: Implementation = (oid, _b, _c, context) => {
  const { names } = catalogOf(context);
  const relation =
    names.snapshot.relations.get(Number(oid)) ?? systemShapes.find((one) => one.oid === oid);
  if (relation !== undefined) {
    const found = names.find(undefined, relation.name);
    return found?.schema === relation.schema;
  }
  const index = indexByOid(oid, context);
  return index === undefined ? null : names.path.includes(index.table.schema);
};

const isTypeVisible: Implementation = (oid, _b, _c, context) => {
  const { names } = catalogOf(context);
  const type = names.snapshot.typeByOid(Number(oid));
  return type === undefined ? null : names.findType(undefined, type.name) === type;
};

const userByOid: Implementation = (oid, _b, _c, context) => {
  const { snapshot } = catalogOf(context).names;
  const name = roleNames(snapshot, context.user).find((one) => roleOid(snapshot, one) === oid);
  return name ?? `unknown (OID=${String(oid)})`;
};

function commentOf(oid: Datum, number: number, context: EvalContext): Datum {
  const { snapshot } = catalogOf(context).names;
  const relation = snapshot.relations.get(Number(oid));
  if (relation !== undefined) return relation.comments[number] ?? null;
  if (number !== 0) return null;
  const type = snapshot.contents.types.get(Number(oid));
  if (type !== undefined) return type.comments[0] ?? null;
  const schema = [...snapshot.schemas.values()].find((one) => one.id === oid);
  if (schema !== undefined) return schema.comment ?? null;
  for (const { comments } of [...snapshot.tables(), ...snapshot.types()]) {
    const own = comments[Number(oid)];
    if (own !== undefined && Number(oid) > columnNumbersMax) return own;
  }
  return null;
}

/** Comments of columns are kept by smaller numbers than those of indexes and constraints. */
const columnNumbersMax = 16_383;

/** Of a role or a database. */
function sharedComment(oid: Datum, kind: string, context: EvalContext): Datum {
  const { snapshot } = catalogOf(context).names;
  if (kind === 'pg_database') return snapshot.databaseById(Number(oid))?.comment ?? null;
  if (kind !== 'pg_authid') return null;
  for (const role of snapshot.roles.values())
    if (roleOid(snapshot, role.name) === oid) return role.comment ?? null;
  return null;
}

const viewDefinition: Implementation = (oid, _b, _c, context) => {
  const found = catalogOf(context).names.snapshot.relations.get(Number(oid));
  const stored = found && storedQueryOf(found);
  return stored === undefined ? null : ` ${stored.query};`;
};

/** By the name of a relation in text. Throws 42P01. */
function oidOfText(text: Datum, context: EvalContext): number {
  const [name = '', schema] = parseQualifiedName(String(text)).reverse();
  const oid = relationOid(catalogOf(context).names, schema, name);
  if (oid === undefined) throw new SqlError('42P01', `relation "${String(text)}" does not exist`);
  return oid;
}

/** The sequence that a column's values come from. */
const serialSequence: Implementation = (table, column, _c, context) => {
  const { names } = catalogOf(context);
  const oid = oidOfText(table, context);
  const found = names.snapshot.table(oid);
  const other = names.snapshot.relations.get(oid) ?? systemShapes.find((one) => one.oid === oid);
  // Views and system tables have columns too, but none that a sequence fills.
  if (found === undefined && other !== undefined && 'columns' in other)
    if (other.columns.some((one) => one.name === column)) return null;
  const own = found?.columns.find((one) => one.name === column);
  if (found === undefined || own === undefined)
    throw new SqlError(
      '42703',
      `column "${String(column)}" of relation "${(found ?? other)?.name ?? String(table)}" does not exist`,
    );
  for (const relation of names.snapshot.relations.values())
    if (
      relation.kind === 'sequence' &&
      relation.ownedBy?.table === found.id &&
      relation.ownedBy.attributeNumber === own.attributeNumber
    )
      return `${quoteIdentifier(relation.schema)}.${quoteIdentifier(relation.name)}`;
  return null;
};

function toRegclass(text: Datum, context: EvalContext): Datum {
  const [name = '', schema] = parseQualifiedName(String(text)).reverse();
  return relationOid(catalogOf(context).names, schema, name) ?? null;
}

/** What pg_depend refers to, in words. NULL for what is no relation of a user's. */
const describeObject: Implementation = (_class, oid, column, context) => {
  const { names } = catalogOf(context);
  const found = names.snapshot.relations.get(Number(oid));
  if (found === undefined) return null;
  const own = `${wordOf(found)} ${shownRelation(found, names)}`;
  if (column === 0 || found.kind !== 'table') return own;
  const part = found.columns.find((one) => one.attributeNumber === column);
  return part === undefined ? null : `column ${quoteIdentifier(part.name)} of ${own}`;
};

function sizeText(bytes: bigint): string {
  let value = bytes;
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (unit < units.length - 1 && value >= 10_240n) {
    value = (value + 512n) / 1024n;
    unit++;
  }
  return `${value} ${units[unit] ?? ''}`;
}

const yes: Implementation = () => true;
const nothing: Implementation = () => null;

export const catalogFunctions: readonly Signature[] = [
  signature('format_type', [oidType, int4Type], textType, formatType, { ...stable, strict: false }),
  stableFunction('pg_get_expr', [nodeTreeType, oidType], textType, (a) => a),
  stableFunction('pg_get_expr', [nodeTreeType, oidType, boolType], textType, (a, _b, pretty) =>
    pretty === true ? bareExpression(String(a)) : a,
  ),
  stableFunction('pg_get_indexdef', [oidType], textType, (a, _b, _c, context) =>
    indexDefinition(a, null, null, context),
  ),
  stableFunction('pg_get_indexdef', [oidType, int4Type, boolType], textType, indexDefinition),
  stableFunction('pg_get_constraintdef', [oidType], textType, constraintDefinition),
  stableFunction('pg_get_constraintdef', [oidType, boolType], textType, constraintDefinition),
  stableFunction('pg_get_viewdef', [oidType], textType, viewDefinition),
  stableFunction('pg_get_viewdef', [oidType, boolType], textType, viewDefinition),
  stableFunction('pg_describe_object', [oidType, oidType, int4Type], textType, describeObject),
  stableFunction('pg_get_userbyid', [oidType], nameType, userByOid),
  stableFunction('pg_get_serial_sequence', [textType, textType], textType, serialSequence),
  ...[
    'pg_get_functiondef',
    'pg_get_function_result',
    'pg_get_function_arguments',
    'pg_get_function_identity_arguments',
    'pg_get_partkeydef',
    'pg_get_ruledef',
    'pg_get_triggerdef',
    'pg_get_statisticsobjdef_columns',
    'pg_get_function_sqlbody',
  ].map((name) => stableFunction(name, [oidType], textType, nothing)),
  stableFunction('pg_get_triggerdef', [oidType, boolType], textType, nothing),
  stableFunction('pg_get_ruledef', [oidType, boolType], textType, nothing),
  stableFunction('pg_table_is_visible', [oidType], boolType, isRelationVisible),
  ...[
    'pg_function_is_visible',
    'pg_operator_is_visible',
    'pg_collation_is_visible',
    'pg_conversion_is_visible',
    'pg_opclass_is_visible',
    'pg_statistics_obj_is_visible',
    'pg_ts_config_is_visible',
  ].map((name) => stableFunction(name, [oidType], boolType, yes)),
  stableFunction('pg_type_is_visible', [oidType], boolType, isTypeVisible),
  stableFunction(
    'to_regtype',
    [textType],
    regtypeType,
    (a, _b, _c, context) =>
      sessionNames(() => catalogOf(context).names, context.user).oidOf('type', [String(a)]) ?? null,
  ),
  stableFunction('obj_description', [oidType, nameType], textType, (oid, name, _c, context) =>
    describedClasses[String(name)] === undefined ? null : commentOf(oid, 0, context),
  ),
  stableFunction('obj_description', [oidType], textType, (oid, _b, _c, context) =>
    commentOf(oid, 0, context),
  ),
  stableFunction('col_description', [oidType, int4Type], textType, (oid, number, _c, context) =>
    commentOf(oid, Number(number), context),
  ),
  stableFunction('shobj_description', [oidType, nameType], textType, (oid, kind, _c, context) =>
    sharedComment(oid, String(kind), context),
  ),
  stableFunction('current_schemas', [boolType], nameArray, (implicit, _b, _c, context) => {
    const { names } = catalogOf(context);
    return new ArrayValue(implicit === true ? names.path : names.schemas);
  }),
  stableFunction('to_regclass', [textType], regclassType, (a, _b, _c, context) =>
    toRegclass(a, context),
  ),
  stableFunction('pg_encoding_to_char', [int4Type], nameType, (a) => (a === 6 ? 'UTF8' : '')),
  stableFunction('pg_char_to_encoding', [nameType], int4Type, (a) =>
    /^utf-?8$/i.test(String(a)) ? 6 : -1,
  ),
  stableFunction('pg_relation_is_publishable', [regclassType], boolType, (oid, _b, _c, context) => {
    const found = catalogOf(context).names.snapshot.relations.get(Number(oid));
    return found?.kind === 'table' && !isMaterialized(found) && !isSystemSchema(found.schema);
  }),
  stableFunction('pg_is_in_recovery', [], boolType, () => false),
  stableFunction('pg_my_temp_schema', [], oidType, (_a, _b, _c, context) => {
    const { names } = catalogOf(context);
    return names.snapshot.schemas.get(names.schemaOf(temporaryAlias) ?? '')?.id ?? 0;
  }),
  stableFunction('pg_is_other_temp_schema', [oidType], boolType, (oid, _b, _c, context) => {
    const { names } = catalogOf(context);
    const own = names.schemaOf(temporaryAlias);
    const found = [...names.snapshot.schemas.values()].find(({ id }) => id === oid);
    return found !== undefined && isTemporarySchema(found.name) && found.name !== own;
  }),
  stableFunction('pg_tablespace_location', [oidType], textType, () => ''),
  stableFunction('getdatabaseencoding', [], nameType, () => 'UTF8'),
  stableFunction('pg_size_pretty', [int8Type], textType, (a) => sizeText(a as bigint)),
  ...privilegeFunctions,
  ...roleFunctions,
];
