/** The options of CREATE ROLE and ALTER ROLE: read from the tree, and passwords made into verifiers. */
import type { DefElem, Node } from 'libpg-query';
import { listItems } from '../bind/ast.ts';
import type { RoleDescriptor } from '../catalog/role.ts';
import type { DdlContext } from '../ddl/ddl-context.ts';
import { passwordLengthMax } from '../limits.ts';
import { SqlError } from '../sql-error.ts';
import { parseTimestampTz } from '../types/timestamp.ts';
import { formatScramVerifier, makeScramVerifier, parseScramVerifier } from './scram-verifier.ts';

/** What the statement says; absent where it says nothing. */
export interface RoleOptions {
  readonly changes: Partial<Omit<RoleDescriptor, 'kind' | 'id' | 'name'>>;
  /** Undefined inside: PASSWORD NULL. */
  readonly password: { readonly verifier: string | undefined } | undefined;
  readonly validUntil: { readonly until: string | undefined } | undefined;
  /** Nodes of roles: IN ROLE, ROLE, ADMIN. */
  readonly inRoles: readonly Node[];
  readonly members: readonly Node[];
  readonly admins: readonly Node[];
}

const flags: Readonly<Record<string, keyof RoleOptions['changes']>> = {
  superuser: 'superuser',
  inherit: 'inherit',
  createrole: 'createRole',
  createdb: 'createDatabase',
  canlogin: 'login',
  isreplication: 'replication',
  bypassrls: 'bypassRowSecurity',
};

/** Throws 42601 for an option given twice, 22023 for a value that is none. */
export async function roleOptions(
  ddl: DdlContext,
  nodes: readonly Node[] | undefined,
): Promise<RoleOptions> {
  const context = ddl.binder();
  const given = new Map<string, DefElem>();
  for (const node of nodes ?? []) {
    if (!('DefElem' in node)) throw context.unsupported('role option');
    const { defname = '', location } = node.DefElem;
    if (given.has(defname))
      throw context.error('42601', 'conflicting or redundant options', location);
    given.set(defname, node.DefElem);
  }
  const changes: Record<string, unknown> = {};
  for (const [defname, { arg, location }] of given) {
    const flag = flags[defname];
    if (flag !== undefined) changes[flag] = booleanOf(arg);
    else if (defname === 'connectionlimit') changes[defname] = limitOf(arg);
    else if (defname === 'sysid') ddl.notice('00000', 'SYSID can no longer be specified');
    else if (!others.has(defname)) throw context.unsupported(`role option ${defname}`, location);
  }
  const { connectionlimit, ...rest } = changes;
  return {
    changes: {
      ...(rest as RoleOptions['changes']),
      ...(connectionlimit === undefined ? {} : { connectionLimit: Number(connectionlimit) }),
    },
    password: await passwordOf(ddl, given.get('password')),
    validUntil: untilOf(ddl, given.get('validUntil')),
    inRoles: listItems(given.get('addroleto')?.arg),
    members: listItems(given.get('rolemembers')?.arg),
    admins: listItems(given.get('adminmembers')?.arg),
  };
}

const others: ReadonlySet<string> = new Set([
  'password',
  'validUntil',
  'addroleto',
  'rolemembers',
  'adminmembers',
]);

function booleanOf(node: Node | undefined): boolean {
  return node !== undefined && 'Boolean' in node && node.Boolean.boolval === true;
}

function limitOf(node: Node | undefined): number {
  const limit = node !== undefined && 'Integer' in node ? (node.Integer.ival ?? 0) : 0;
  if (limit < -1) throw new SqlError('22023', `invalid connection limit: ${limit}`);
  return limit;
}

/** A verifier is kept as it is; a password becomes one and is forgotten. */
async function passwordOf(
  ddl: DdlContext,
  option: DefElem | undefined,
): Promise<RoleOptions['password']> {
  if (option === undefined) return undefined;
  const { arg } = option;
  const text = arg !== undefined && 'String' in arg ? (arg.String.sval ?? '') : undefined;
  if (text === undefined) return { verifier: undefined };
  if (parseScramVerifier(text) !== undefined) return { verifier: text };
  if (/^md5[0-9a-f]{32}$/.test(text))
    throw new SqlError('0A000', 'MD5 passwords are not supported; give the password itself');
  if (text === '') {
    ddl.notice('00000', 'empty string is not a valid password, clearing password');
    return { verifier: undefined };
  }
  if (text.length > passwordLengthMax)
    throw new SqlError('22023', `passwords have ${passwordLengthMax} characters at most`);
  return { verifier: formatScramVerifier(await makeScramVerifier(text)) };
}

function untilOf(ddl: DdlContext, option: DefElem | undefined): RoleOptions['validUntil'] {
  if (option === undefined) return undefined;
  const { arg } = option;
  const text = arg !== undefined && 'String' in arg ? (arg.String.sval ?? '') : undefined;
  if (text === undefined) return { until: undefined };
  const until = parseTimestampTz(text, ddl.options.evaluation, 'timestamp with time zone');
  return { until: String(until) };
}
