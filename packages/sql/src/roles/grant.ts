/** GRANT and REVOKE on tables, columns, sequences, schemas and databases; ALTER DEFAULT PRIVILEGES. */
import type { AccessPriv, AlterDefaultPrivilegesStmt, GrantStmt, Node } from 'libpg-query';
import { describeKind, nameParts } from '../bind/ast.ts';
import {
  type Acl,
  allPrivileges,
  granted,
  heldLetters,
  type ProtectedKind,
  privilegeLetters,
  revoked,
} from '../catalog/acl.ts';
import type { RelationDescriptor } from '../catalog/descriptor.ts';
import { aclOf, databaseAclOf, schemaAclOf } from '../catalog/object-acl.ts';
import type { DefaultPrivileges } from '../catalog/role.ts';
import { databaseNamed } from '../ddl/databases.ts';
import { type DdlContext, missingRelation } from '../ddl/ddl-context.ts';
import { SqlError } from '../sql-error.ts';
import { unknownPrivilege, wrongPrivilege } from './access.ts';
import { denied, missingRole } from './role-errors.ts';
import { roleNameOf, roleNamesOf } from './role-names.ts';

/** One object, or one column, whose privileges are to change. */
interface Target {
  readonly kind: ProtectedKind;
  readonly name: string;
  readonly owner: string;
  readonly acl: Acl;
}

interface Request {
  readonly isGrant: boolean;
  readonly grantees: readonly string[];
  readonly option: boolean;
  readonly cascade: boolean;
}

export function grant(ddl: DdlContext, statement: GrantStmt): string {
  if (statement.grantor !== undefined) throw ddl.binder().unsupported('GRANTED BY');
  const request = requestOf(ddl, statement);
  const { objtype = '', targtype, objects = [], privileges = [] } = statement;
  if (targtype === 'ACL_TARGET_ALL_IN_SCHEMA') {
    for (const relation of relationsIn(ddl, objtype, objects))
      onRelation(ddl, relation, privileges, request);
    return tagOf(request);
  }
  for (const object of objects)
    switch (objtype) {
      case 'OBJECT_TABLE':
      case 'OBJECT_SEQUENCE': {
        if (!('RangeVar' in object)) break;
        const { schemaname, relname = '' } = object.RangeVar;
        const found = ddl.find(schemaname, relname);
        if (found === undefined) throw missingRelation(ddl, schemaname, relname, 'relation');
        if (objtype === 'OBJECT_SEQUENCE' && found.kind !== 'sequence')
          throw new SqlError('42809', `"${relname}" is not a sequence`);
        onRelation(ddl, found, privileges, request);
        break;
      }
      case 'OBJECT_SCHEMA': {
        const [name = ''] = nameParts([object]);
        const schema = ddl.snapshot.schemas.get(name);
        if (schema === undefined) throw new SqlError('3F000', `schema "${name}" does not exist`);
        const target: Target = {
          kind: 'schema',
          name,
          owner: schema.owner,
          acl: schemaAclOf(schema),
        };
        const acl = change(ddl, target, lettersOf(ddl, 'schema', privileges), request);
        ddl.editor.putSchema({ ...schema, acl });
        break;
      }
      case 'OBJECT_DATABASE': {
        const [name = ''] = nameParts([object]);
        const database = databaseNamed(ddl, name);
        const { owner } = database;
        const before = databaseAclOf(database);
        const target: Target = { kind: 'database', name, owner, acl: before };
        const acl = change(ddl, target, lettersOf(ddl, 'database', privileges), request);
        ddl.editor.putAccess({ ...database, acl });
        break;
      }
      default:
        throw ddl.binder().unsupported(`${tagOf(request)} ON ${shownKind(objtype)}`);
    }
  return tagOf(request);
}

function shownKind(objtype: string): string {
  return describeKind(objtype.replace('OBJECT_', ''));
}

function tagOf({ isGrant }: Request): string {
  return isGrant ? 'GRANT' : 'REVOKE';
}

function requestOf(ddl: DdlContext, statement: GrantStmt): Request {
  const grantees = (statement.grantees ?? []).flatMap((node) => {
    if (!('RoleSpec' in node)) return [];
    if (node.RoleSpec.roletype === 'ROLESPEC_PUBLIC') return [''];
    const name = roleNameOf(ddl, node.RoleSpec);
    if (!ddl.isRole(name)) throw missingRole(name);
    return [name];
  });
  const isGrant = statement.is_grant === true;
  const option = statement.grant_option === true;
  if (isGrant && option && grantees.includes(''))
    throw new SqlError('0LP01', 'grant options can only be granted to roles');
  return { isGrant, grantees, option, cascade: statement.behavior === 'DROP_CASCADE' };
}

/** ALL TABLES, ALL SEQUENCES IN SCHEMA. There are no functions of users. */
function relationsIn(
  ddl: DdlContext,
  objtype: string,
  schemas: readonly Node[],
): RelationDescriptor[] {
  const names = nameParts(schemas);
  for (const name of names)
    if (!ddl.snapshot.schemas.has(name))
      throw new SqlError('3F000', `schema "${name}" does not exist`);
  return ddl.snapshot
    .sorted()
    .filter(
      ({ kind, schema }) =>
        names.includes(schema) &&
        (objtype === 'OBJECT_SEQUENCE'
          ? kind === 'sequence'
          : objtype === 'OBJECT_TABLE' && kind !== 'sequence'),
    );
}

/** The letters that are named without columns. Throws 42601, 0LP01. */
function lettersOf(ddl: DdlContext, kind: ProtectedKind, nodes: readonly Node[]): string {
  const all = nodes.flatMap((node) => ('AccessPriv' in node ? [node.AccessPriv] : []));
  if (all.length === 0) return allPrivileges[kind];
  if (kind !== 'table' && kind !== 'view' && all.some(({ cols }) => cols !== undefined))
    throw new SqlError('0LP01', 'column privileges are only valid for relations');
  return all
    .filter(({ cols }) => cols === undefined)
    .map((one) => letterOf(ddl, kind, one))
    .join('');
}

function letterOf(_ddl: DdlContext, kind: ProtectedKind, { priv_name: name }: AccessPriv): string {
  if (name === undefined) return allPrivileges[kind];
  const letter = privilegeLetters[name];
  if (letter === undefined) throw unknownPrivilege(name);
  if (!allPrivileges[kind].includes(letter)) throw wrongPrivilege(name, kind);
  return letter;
}

function onRelation(
  ddl: DdlContext,
  given: RelationDescriptor,
  nodes: readonly Node[],
  request: Request,
): void {
  let relation = given;
  const { kind, name, owner } = relation;
  const letters = lettersOf(ddl, kind, nodes);
  if (letters !== '') {
    const target: Target = { kind, name, owner, acl: aclOf(relation) };
    const acl = change(ddl, target, letters, request);
    relation = ddl.editor.put({ ...relation, acl });
    // Who loses a privilege on the table loses it on each of its columns.
    if (!request.isGrant && relation.columnAcls !== undefined)
      for (const number of Object.keys(relation.columnAcls))
        relation = onColumn(ddl, relation, Number(number), letters, request);
  }
  for (const node of nodes) {
    if (!('AccessPriv' in node) || node.AccessPriv.cols === undefined) continue;
    const columnLetters = letterOf(ddl, 'column', node.AccessPriv);
    for (const column of nameParts(node.AccessPriv.cols))
      relation = onColumn(ddl, relation, columnNumber(relation, column), columnLetters, request);
  }
}

function columnNumber(relation: RelationDescriptor, name: string): number {
  const number =
    relation.kind === 'table'
      ? relation.columns.find((one) => one.name === name)?.attributeNumber
      : relation.kind === 'view'
        ? relation.columns.findIndex((one) => one.name === name) + 1
        : undefined;
  if (number !== undefined && number > 0) return number;
  throw new SqlError('42703', `column "${name}" of relation "${relation.name}" does not exist`);
}

function onColumn(
  ddl: DdlContext,
  relation: RelationDescriptor,
  number: number,
  letters: string,
  request: Request,
): RelationDescriptor {
  const { [number]: before = [], ...others } = relation.columnAcls ?? {};
  const target: Target = {
    kind: 'column',
    name: relation.name,
    owner: relation.owner,
    acl: before,
  };
  const acl = change(ddl, target, letters, request);
  const columnAcls = acl.length === 0 ? others : { ...others, [number]: acl };
  return ddl.editor.put({ ...relation, columnAcls });
}

/** The privileges afterwards. Throws 42501, 2BP01. */
function change(ddl: DdlContext, target: Target, letters: string, request: Request): Acl {
  const { authority } = ddl;
  const { owner, name, kind } = target;
  const { isGrant, grantees, option, cascade } = request;
  let grantor = owner;
  let allowed = letters;
  if (!authority.has(owner)) {
    const mine = target.acl.filter(
      (one) => authority.roles.has(one.grantee) && one.privileges.includes('*'),
    );
    grantor = mine[0]?.grantee ?? ddl.user;
    const grantable = heldLetters(mine, () => true, true);
    allowed = [...letters].filter((letter) => grantable.includes(letter)).join('');
    if (allowed === '' && heldLetters(target.acl, (role) => authority.roles.has(role)) === '')
      throw denied(
        `permission denied for ${['column', 'view'].includes(kind) ? 'table' : kind} ${name}`,
      );
    const verb = isGrant ? 'granted' : 'revoked';
    const code = isGrant ? '01007' : '01006';
    if (allowed === '') ddl.warning(code, `no privileges were ${verb} for "${name}"`);
    else if (allowed.length < letters.length)
      ddl.warning(code, `not all privileges were ${verb} for "${name}"`);
  }
  let { acl } = target;
  for (const grantee of grantees) {
    if (isGrant) {
      acl = granted(acl, { grantee, grantor }, allowed, option);
      continue;
    }
    const next = revoked(acl, { grantee, grantor }, allowed, {
      ...{ optionOnly: option, cascade, owner },
    });
    if (next === undefined)
      throw new SqlError('2BP01', 'dependent privileges exist', {
        hint: 'Use CASCADE to revoke them too.',
      });
    acl = next;
  }
  return acl;
}

const defaultKinds: Readonly<Record<string, DefaultPrivileges['kind']>> = {
  OBJECT_TABLE: 'table',
  OBJECT_SEQUENCE: 'sequence',
  OBJECT_SCHEMA: 'schema',
};

/** Adds to, and takes from, what new objects begin with. What owners and PUBLIC have by themselves stays. */
export function alterDefaultPrivileges(
  ddl: DdlContext,
  statement: AlterDefaultPrivilegesStmt,
): string {
  const { action, options = [] } = statement;
  if (action === undefined) throw ddl.binder().unsupported('ALTER DEFAULT PRIVILEGES');
  const request = requestOf(ddl, action);
  const kind = defaultKinds[action.objtype ?? ''];
  if (kind === undefined)
    throw ddl
      .binder()
      .unsupported(`ALTER DEFAULT PRIVILEGES ON ${shownKind(action.objtype ?? '')}`);
  let roles: readonly string[] = [ddl.user];
  let schemas: readonly string[] = [''];
  for (const node of options) {
    if (!('DefElem' in node)) continue;
    const { defname, arg } = node.DefElem;
    if (defname === 'roles') roles = roleNamesOf(ddl, arg);
    if (defname === 'schemas')
      schemas = nameParts(arg !== undefined && 'List' in arg ? arg.List.items : []);
  }
  const letters = lettersOf(ddl, kind, action.privileges ?? []);
  for (const schema of schemas)
    if (schema !== '' && !ddl.snapshot.schemas.has(schema))
      throw new SqlError('3F000', `schema "${schema}" does not exist`);
  if (kind === 'schema' && schemas.some((schema) => schema !== ''))
    throw new SqlError('0LP01', 'cannot use IN SCHEMA clause when using GRANT/REVOKE ON SCHEMAS');
  for (const role of roles) {
    if (!ddl.isRole(role)) throw missingRole(role);
    if (!ddl.authority.isMemberOf(role))
      throw denied('permission denied to change default privileges');
    for (const schema of schemas) {
      const { database } = ddl.snapshot;
      const all = database.defaults ?? [];
      const at = all.find((one) => one.role === role && one.schema === schema && one.kind === kind);
      let acl = at?.acl ?? [];
      for (const grantee of request.grantees)
        acl = request.isGrant
          ? granted(acl, { grantee, grantor: role }, letters, request.option)
          : (revoked(acl, { grantee, grantor: role }, letters, {
              ...{ optionOnly: request.option, cascade: true, owner: role },
            }) ?? acl);
      const others = all.filter((one) => one !== at);
      const defaults = acl.length === 0 ? others : [...others, { role, schema, kind, acl }];
      ddl.editor.putAccess({ ...database, defaults });
    }
  }
  return 'ALTER DEFAULT PRIVILEGES';
}
