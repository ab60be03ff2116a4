/** has_table_privilege and its kin. Roles and objects are given by name or by oid. */
import { allPrivileges, heldLetters, privilegeLetters } from '../catalog/acl.ts';
import type { RelationDescriptor } from '../catalog/descriptor.ts';
import { databaseAclOf } from '../catalog/object-acl.ts';
import { parseQualifiedName } from '../catalog/qualified-name.ts';
import { relationOid } from '../catalog/session-names.ts';
import { holds, holdsOnSchema } from '../roles/access.ts';
import type { Authority } from '../roles/authority.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { boolType, int2Type, nameType, oidType, type SqlType, textType } from '../types/type.ts';
import { databaseByValue } from './database-lookup.ts';
import { authorityForName, roleByValue } from './role-lookup.ts';
import { catalogOf } from './sequences.ts';
import { type EvalContext, type Signature, signature, typedSignature } from './signature.ts';

const stable = { volatility: 'stable' } as const;

type Test = (authority: Authority, letter: string, grantable: boolean) => boolean;
/** Undefined: there is no such object. Throws for a name that leads nowhere. */
type Finder = (values: readonly Datum[], context: EvalContext) => Test | undefined;

/** Any of the privileges in the text is enough, as in PostgreSQL. Throws 22023. */
function anyOf(text: string, allowed: string, authority: Authority, test: Test): boolean {
  let found = false;
  for (const word of text.split(',')) {
    const [, name = '', option] = /^\s*([a-z ]+?)(\s+with grant option)?\s*$/i.exec(word) ?? [];
    const letter = privilegeLetters[name.toLowerCase()];
    if (letter === undefined || !allowed.includes(letter))
      throw new SqlError('22023', `unrecognized privilege type: "${word.trim()}"`);
    found = test(authority, letter, option !== undefined) || found;
  }
  return found;
}

function relationOf(value: Datum, context: EvalContext): RelationDescriptor | 'system' | undefined {
  const { names } = catalogOf(context);
  let oid = Number(value);
  if (typeof value === 'string') {
    const [name = '', schema] = parseQualifiedName(value).reverse();
    const found = relationOid(names, schema, name);
    if (found === undefined) throw new SqlError('42P01', `relation "${value}" does not exist`);
    oid = found;
  }
  const relation = names.snapshot.relations.get(oid);
  if (relation !== undefined) return relation;
  return oid > 0 && oid < 16_384 ? 'system' : undefined;
}

/** System tables are everybody's to read, and nobody's to change. */
const onSystemTable: Test = (authority, letter) => authority.superuser || letter === 'r';

function onRelation(
  columns: (relation: RelationDescriptor) => Set<number> | undefined,
): (value: Datum, context: EvalContext) => Test | undefined {
  return (value, context) => {
    const relation = relationOf(value, context);
    if (relation === 'system') return onSystemTable;
    if (relation === undefined) return undefined;
    const which = columns(relation);
    return (authority, letter) =>
      authority.has(relation.owner) && relation.acl === undefined
        ? true
        : holds(relation, authority, letter, which);
  };
}

function columnNumber(relation: RelationDescriptor, column: Datum): number {
  if (typeof column === 'number') return column;
  const number =
    relation.kind === 'table'
      ? relation.columns.find(({ name }) => name === column)?.attributeNumber
      : relation.kind === 'view'
        ? relation.columns.findIndex(({ name }) => name === column) + 1
        : undefined;
  if (number !== undefined && number > 0) return number;
  throw new SqlError(
    '42703',
    `column "${String(column)}" of relation "${relation.name}" does not exist`,
  );
}

function onSchema(value: Datum, context: EvalContext): Test | undefined {
  const { snapshot } = catalogOf(context).names;
  const name =
    typeof value === 'string'
      ? value
      : [...snapshot.schemas.values()].find(({ id }) => id === value)?.name;
  if (name === undefined) return undefined;
  if (!snapshot.schemas.has(name)) throw new SqlError('3F000', `schema "${name}" does not exist`);
  return (authority, letter) => holdsOnSchema(snapshot, authority, name, letter);
}

function onDatabase(value: Datum, context: EvalContext): Test | undefined {
  const database = databaseByValue(value, context);
  if (database === undefined) return undefined;
  const acl = databaseAclOf(database);
  return (authority, letter) =>
    authority.superuser || heldLetters(acl, (role) => authority.roles.has(role)).includes(letter);
}

/** What everybody may use. */
const onAnything: Finder = () => () => true;

const families: readonly {
  readonly name: string;
  readonly allowed: string;
  readonly objects: readonly (readonly SqlType[])[];
  readonly find: Finder;
}[] = [
  {
    name: 'table',
    allowed: allPrivileges.table,
    objects: [[textType], [oidType]],
    find: ([value = null], context) => onRelation(() => undefined)(value, context),
  },
  {
    name: 'sequence',
    allowed: allPrivileges.sequence,
    objects: [[textType], [oidType]],
    find: ([value = null], context) => onRelation(() => undefined)(value, context),
  },
  {
    name: 'any_column',
    allowed: allPrivileges.column,
    objects: [[textType], [oidType]],
    find: ([value = null], context) => onRelation(() => new Set())(value, context),
  },
  {
    name: 'column',
    allowed: allPrivileges.column,
    objects: [
      [textType, textType],
      [textType, int2Type],
      [oidType, textType],
      [oidType, int2Type],
    ],
    find: ([value = null, column = null], context) =>
      onRelation((relation) => new Set([columnNumber(relation, column)]))(value, context),
  },
  {
    name: 'schema',
    allowed: allPrivileges.schema,
    objects: [[textType], [oidType]],
    find: ([value = null], context) => onSchema(value, context),
  },
  {
    name: 'database',
    allowed: allPrivileges.database,
    objects: [[textType], [oidType]],
    find: ([value = null], context) => onDatabase(value, context),
  },
  ...['function', 'type', 'tablespace', 'language'].map((name) => ({
    name,
    allowed: name === 'function' ? 'X' : name === 'tablespace' ? 'C' : 'U',
    objects: [[textType], [oidType]],
    find: onAnything,
  })),
];

function answer(
  family: (typeof families)[number],
  user: Datum | undefined,
  values: readonly Datum[],
  context: EvalContext,
): Datum {
  const who = user === undefined ? context.user : roleByValue(user, context);
  if (who === undefined) return null;
  const test = family.find(values.slice(0, -1), context);
  if (test === undefined) return null;
  const text = String(values[values.length - 1]);
  return anyOf(text, family.allowed, authorityForName(who, context), test);
}

export const privilegeFunctions: readonly Signature[] = families.flatMap((family) =>
  family.objects.flatMap((object) => [
    general(family.name, [...object, textType], (values, context) =>
      answer(family, undefined, values, context),
    ),
    ...[nameType, oidType].map((user) =>
      general(family.name, [user, ...object, textType], ([who = null, ...values], context) =>
        answer(family, who, values, context),
      ),
    ),
  ]),
);

function general(
  name: string,
  parameters: readonly SqlType[],
  work: (values: readonly Datum[], context: EvalContext) => Datum,
): Signature {
  const full = `has_${name}_privilege`;
  return parameters.length <= 3
    ? signature(
        full,
        parameters,
        boolType,
        (a, b, c, context) => work([a, b, c].slice(0, parameters.length), context),
        stable,
      )
    : typedSignature(full, parameters, boolType, () => work, stable);
}
