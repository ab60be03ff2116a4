/**
 * CREATE, DROP and ALTER DATABASE … RENAME: databases as objects of the catalog. A new one is empty; with one that is dropped goes
 * all that lies in it. Whether sessions use one the sessions of all processes are asked; who begins to use it meanwhile finds
 * that it is gone.
 */
import type { AlterDatabaseStmt, CreatedbStmt, DropdbStmt, Node } from 'libpg-query';
import { missingDatabase } from '../catalog/database-catalog.ts';
import { type DatabaseDescriptor, newDatabase, type SettingValues } from '../catalog/role.ts';
import { contentsOf } from '../catalog/snapshot.ts';
import type { SpanConfiguration } from '../cluster/cluster-inspector.ts';
import type { SessionFacts } from '../cluster/session-facts.ts';
import { catalogOf } from '../functions/sequences.ts';
import { databaseEndMs } from '../limits.ts';
import { bracketedOption } from '../parse/alter-database.ts';
import { requireOwner } from '../roles/access.ts';
import { denied, missingRole } from '../roles/role-errors.ts';
import { SqlError } from '../sql-error.ts';
import { storageSpan } from '../storage/table-store.ts';
import type { DdlContext } from './ddl-context.ts';
import {
  isRangeParameter,
  resetRangeParameters,
  setRangeParameters,
  unknownParameter,
} from './range-parameters.ts';

/** A session that was let in unasked may call its own database by another name. */
export function findDatabase(ddl: DdlContext, name: string): DatabaseDescriptor | undefined {
  const { snapshot } = ddl;
  return name === ddl.options.evaluation.database
    ? snapshot.database
    : snapshot.databases.get(name);
}

/** Throws 3D000. */
export function databaseNamed(ddl: DdlContext, name: string): DatabaseDescriptor {
  const found = findDatabase(ddl, name);
  if (found === undefined) throw missingDatabase(name);
  return found;
}

export async function createDatabase(ddl: DdlContext, statement: CreatedbStmt): Promise<string> {
  const { dbname: name = '' } = statement;
  let owner = ddl.user;
  const { others, ranges } = rangesIn(statement.options, undefined);
  for (const [option, value] of optionsOf(others))
    if (option === 'owner') owner = value ?? owner;
    else checkOption(ddl, option, value);
  if (!ddl.isRole(owner)) throw missingRole(owner);
  if (!ddl.authority.createDatabase) throw denied('permission denied to create database');
  if (!ddl.authority.isMemberOf(owner)) throw denied(`must be member of role "${owner}"`);
  refuseTaken(ddl, name);
  ddl.editor.putAccess({ ...newDatabase(await ddl.takeId(), name, owner), ranges });
  return 'CREATE DATABASE';
}

/** Throws 42P04. */
function refuseTaken(ddl: DdlContext, name: string): void {
  if (findDatabase(ddl, name) !== undefined)
    throw new SqlError('42P04', `database "${name}" already exists`);
}

/** Options and their values as text; undefined: the default. */
function optionsOf(nodes: readonly Node[] = []): [name: string, value: string | undefined][] {
  return nodes.flatMap((node) => {
    if (!('DefElem' in node)) return [];
    const { defname = '', arg } = node.DefElem;
    return [[defname, arg === undefined ? undefined : textOf(arg)]];
  });
}

function textOf(node: Node): string {
  if ('String' in node) return node.String.sval ?? '';
  if ('Integer' in node) return String(node.Integer.ival ?? 0);
  return 'Boolean' in node ? String(node.Boolean.boolval ?? false) : '';
}

const templates: ReadonlySet<string> = new Set(['template0', 'template1']);
const plainLocales: ReadonlySet<string> = new Set(['C', 'C.UTF-8', 'C.utf8', 'POSIX']);

/** What all databases are anyway. */
const fixedOptions: Readonly<Record<string, readonly string[]>> = {
  encoding: ['utf8', 'utf-8', 'unicode', '6', '-1'],
  locale_provider: ['libc'],
  strategy: ['wal_log', 'file_copy'],
  tablespace: ['pg_default'],
  connection_limit: ['-1'],
  allow_connections: ['true', 'on', '1'],
  is_template: ['false', 'off', '0'],
};

/** Throws 0A000 for what no database is; 3D000. @param value undefined: the default */
function checkOption(ddl: DdlContext, option: string, value: string | undefined): void {
  if (value === undefined) return;
  if (['locale', 'lc_collate', 'lc_ctype'].includes(option)) {
    if (!plainLocales.has(value))
      ddl.warning('01000', `locale "${value}" is not used: text is in the order of its bytes`);
    return;
  }
  if (option === 'template' && templates.has(value)) return;
  if (option === 'template') databaseNamed(ddl, value);
  if (fixedOptions[option]?.includes(value.toLowerCase()) === true) return;
  throw ddl.binder().unsupported(`${option.toUpperCase().replaceAll('_', ' ')} ${value}`);
}

/** ALTER DATABASE … CONNECTION LIMIT and the like, and what the ranges of its tables are to obey. */
export function alterDatabase(ddl: DdlContext, statement: AlterDatabaseStmt): string {
  const { dbname: name = '' } = statement;
  const database = databaseNamed(ddl, name);
  const { others, ranges } = rangesIn(statement.options, database.ranges);
  for (const [option, value] of optionsOf(others)) checkOption(ddl, option, value);
  requireOwner(ddl.authority, database.owner, `database ${name}`);
  if (ranges !== database.ranges) ddl.editor.putAccess({ ...database, ranges });
  return 'ALTER DATABASE';
}

/** Takes what ranges obey out of options; one without a value is taken back. Throws 22023. */
function rangesIn(
  options: readonly Node[] = [],
  before: SpanConfiguration | undefined,
): { readonly others: readonly Node[]; readonly ranges: SpanConfiguration | undefined } {
  const others: Node[] = [];
  let ranges = before;
  for (const option of options) {
    const { defname = '', defnamespace, arg } = 'DefElem' in option ? option.DefElem : {};
    if (isRangeParameter(defname))
      ranges = (arg === undefined ? resetRangeParameters : setRangeParameters)(ranges, [option]);
    else if (defnamespace === bracketedOption) throw unknownParameter(defname);
    else others.push(option);
  }
  return { others, ranges };
}

export async function dropDatabase(ddl: DdlContext, statement: DropdbStmt): Promise<string> {
  const { dbname: name = '', missing_ok: ifExists } = statement;
  const database = findDatabase(ddl, name);
  if (database === undefined) {
    if (ifExists !== true) throw missingDatabase(name);
    ddl.notice('00000', `database "${name}" does not exist, skipping`);
    return 'DROP DATABASE';
  }
  const { id } = database;
  requireOwner(ddl.authority, database.owner, `database ${name}`);
  if (id === ddl.snapshot.contents.database)
    throw new SqlError('55006', 'cannot drop the currently open database');
  const force = optionsOf(statement.options).some(([option]) => option === 'force');
  if (force) await endSessions(ddl, database);
  refuseUsed(database, await sessionsOf(ddl, database));
  const { editor } = ddl;
  for (const relation of contentsOf(ddl.snapshot.contents, id).relations.values())
    if (relation.kind !== 'view') editor.addGarbage(storageSpan(relation.storageId));
  editor.emptyDatabase(id);
  renameSettings(ddl, database.name, undefined);
  editor.removeDatabase(database);
  return 'DROP DATABASE';
}

/** ALTER DATABASE … RENAME TO: what is kept by its name is kept by the new one. */
export async function renameDatabase(ddl: DdlContext, name: string, to: string): Promise<string> {
  const database = databaseNamed(ddl, name);
  requireOwner(ddl.authority, database.owner, `database ${name}`);
  if (!ddl.authority.createDatabase) throw denied('permission denied to rename database');
  refuseTaken(ddl, to);
  if (database.id === ddl.snapshot.contents.database)
    throw new SqlError('0A000', 'current database cannot be renamed');
  refuseUsed(database, await sessionsOf(ddl, database));
  renameSettings(ddl, database.name, to);
  // Settings may just have been written to it.
  ddl.editor.putAccess({ ...databaseNamed(ddl, name), name: to });
  return 'ALTER DATABASE';
}

/** @param to undefined: they go */
function renameSettings(ddl: DdlContext, from: string, to: string | undefined): void {
  const renamed = (all: Readonly<Record<string, SettingValues>>) => {
    const { [from]: own, ...others } = all;
    return own === undefined || to === undefined ? others : { ...others, [to]: own };
  };
  const { snapshot, editor } = ddl;
  if (snapshot.settings[from] !== undefined) editor.putSettings(renamed(snapshot.settings));
  for (const role of snapshot.roles.values())
    if (role.settings[from] !== undefined)
      editor.putAccess({ ...role, settings: renamed(role.settings) });
}

/** Of all processes; not the one that asks, which is in another database. */
async function sessionsOf(ddl: DdlContext, { name }: DatabaseDescriptor): Promise<SessionFacts[]> {
  const all = await catalogOf(ddl.options.evaluation).backend.sessions();
  return all.filter(({ database }) => database === name);
}

/** Throws 55006. */
function refuseUsed(
  { name }: DatabaseDescriptor,
  { length: count }: readonly SessionFacts[],
): void {
  if (count === 0) return;
  const detail =
    count === 1
      ? 'There is 1 other session using the database.'
      : `There are ${count} other sessions using the database.`;
  throw new SqlError('55006', `database "${name}" is being accessed by other users`, { detail });
}

/** Ends them, and waits for a while until they have. Throws 42501, 57014. */
async function endSessions(ddl: DdlContext, database: DatabaseDescriptor): Promise<void> {
  const { backend } = catalogOf(ddl.options.evaluation);
  let sessions = await sessionsOf(ddl, database);
  for (const { user } of sessions) {
    const role = ddl.snapshot.roles.get(user);
    if (role?.superuser === true && !ddl.authority.superuser)
      throw denied('must be a superuser to terminate superuser process');
    if (!ddl.authority.isMemberOf(user))
      throw denied('must be a member of the role whose process is being terminated');
  }
  for (const { client } of sessions) await backend.signal(client.processId, 'terminate');
  for (let waitedMs = 0; sessions.length > 0; waitedMs += databaseEndMs.ask) {
    if (waitedMs >= databaseEndMs.max) return;
    await backend.sleep(databaseEndMs.ask, ddl.options.run.pace.signal);
    sessions = await sessionsOf(ddl, database);
  }
}
