/**
 * What a statement needs to be allowed: noted while it is bound, checked each time it runs, since plans are shared by users and
 * privileges come and go. Relations are named by id; what is in a view is needed by the view's owner.
 */
import { allPrivileges, heldLetters, type ProtectedKind } from '../catalog/acl.ts';
import { readAllRole, writeAllRole } from '../catalog/built-in-role-names.ts';
import type { RelationDescriptor } from '../catalog/descriptor.ts';
import { aclOf, schemaAclOf } from '../catalog/object-acl.ts';
import { wordOf } from '../catalog/relation-word.ts';
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import { SqlError } from '../sql-error.ts';
import type { Authority } from './authority.ts';
import { denied } from './role-errors.ts';

export type Need =
  | {
      readonly kind: 'relation';
      readonly id: number;
      readonly letter: string;
      /** Attribute numbers; undefined: the relation as a whole; none: any column will do. */
      readonly columns: Set<number> | undefined;
      /** Undefined: the user's own. */
      readonly as: string | undefined;
    }
  | {
      readonly kind: 'schema';
      readonly name: string;
      readonly as: string | undefined;
      /** Of the name in the statement. */
      readonly position: number | undefined;
    }
  /** A system table that not everybody may read. */
  | { readonly kind: 'superuser'; readonly table: string };

/** Why nobody may run a statement, whatever he may do: told once it is known that he may. */
export interface Refusal {
  readonly error: () => SqlError;
  /** Nor may it be explained. */
  readonly explained: boolean;
}

const restrictedTables: ReadonlySet<string> = new Set(['pg_authid', 'pg_shadow']);

export class AccessLog {
  private readonly all: Map<string, Need>;
  private readonly refusals: Refusal[];
  private readonly as: string | undefined;

  constructor(all: Map<string, Need> = new Map(), refusals: Refusal[] = [], as?: string) {
    this.all = all;
    this.refusals = refusals;
    this.as = as;
  }

  get needs(): readonly Need[] {
    return [...this.all.values()];
  }

  /** For what a view of this owner reads. */
  asOwner(owner: string): AccessLog {
    return new AccessLog(this.all, this.refusals, owner);
  }

  /** The relation stands in FROM. */
  reads(id: number): void {
    this.columns(id, 'r');
  }

  /** The column is read. @param tableOid 0: it is none of a table */
  readsColumn(tableOid: number, attributeNumber: number): void {
    if (tableOid > 0 && attributeNumber > 0) this.columns(tableOid, 'r').add(attributeNumber);
  }

  /** @param columns attribute numbers; undefined: whole rows */
  writes(id: number, letter: 'a' | 'w' | 'd', columns?: readonly number[]): void {
    if (columns === undefined) {
      const need = { kind: 'relation', id, letter, columns: undefined, as: this.as } as const;
      this.all.set(`${id} ${letter} ${this.as ?? ''}`, need);
      return;
    }
    const set = this.columns(id, letter);
    for (const column of columns) set.add(column);
  }

  looksInto(schema: string, position: number | undefined): void {
    this.all.set(`schema ${schema} ${this.as ?? ''}`, {
      kind: 'schema',
      name: schema,
      as: this.as,
      position,
    });
  }

  readsSystemTable(name: string): void {
    if (restrictedTables.has(name)) this.all.set(name, { kind: 'superuser', table: name });
  }

  /** The rows of a materialized view that is not populated. */
  readsUnpopulated(view: string): void {
    this.refusals.push({
      error: () =>
        new SqlError('55000', `materialized view "${view}" has not been populated`, {
          hint: 'Use the REFRESH MATERIALIZED VIEW command.',
        }),
      explained: false,
    });
  }

  /** A materialized view is to be written to. */
  writesMaterialized(view: string): void {
    this.refusals.unshift({
      error: () => new SqlError('42809', `cannot change materialized view "${view}"`),
      explained: true,
    });
  }

  /** What is told first. Undefined: nothing is in the way. */
  get refusal(): Refusal | undefined {
    return this.refusals[0];
  }

  private columns(id: number, letter: string): Set<number> {
    const key = `${id} ${letter} ${this.as ?? ''}`;
    const before = this.all.get(key);
    if (before?.kind === 'relation' && before.columns !== undefined) return before.columns;
    const columns = new Set<number>();
    this.all.set(key, { kind: 'relation', id, letter, columns, as: this.as });
    return columns;
  }
}

/** Throws 42501 for the first that is not granted. @param authorityOf of a view's owner */
export function checkNeeds(
  needs: readonly Need[],
  snapshot: CatalogSnapshot,
  user: Authority,
  authorityOf: (role: string) => Authority,
): void {
  for (const need of needs) {
    if (need.kind === 'superuser') {
      if (!user.has(readAllRole)) throw denied(`permission denied for table ${need.table}`);
      continue;
    }
    const authority = need.as === undefined ? user : authorityOf(need.as);
    if (authority.superuser) continue;
    if (need.kind === 'schema') requireSchema(snapshot, authority, need.name, 'U', need.position);
    else {
      const relation = snapshot.relations.get(need.id);
      if (relation === undefined || holds(relation, authority, need.letter, need.columns)) continue;
      throw denied(`permission denied for ${wordOf(relation)} ${relation.name}`);
    }
  }
}

/** Whether this privilege is there, on the relation or on each of the columns; of no columns, on any. */
export function holds(
  relation: RelationDescriptor,
  authority: Authority,
  letter: string,
  columns?: ReadonlySet<number>,
): boolean {
  if (lettersOn(relation, authority).includes(letter)) return true;
  if (columns === undefined || relation.columnAcls === undefined) return false;
  const { columnAcls } = relation;
  const has = (number: number): boolean =>
    heldLetters(columnAcls[number] ?? [], (role) => authority.roles.has(role)).includes(letter);
  return columns.size === 0
    ? Object.keys(columnAcls).some((key) => has(Number(key)))
    : [...columns].every(has);
}

/** All letters on the relation as a whole. */
export function lettersOn(relation: RelationDescriptor, authority: Authority): string {
  if (authority.superuser) return allPrivileges[relation.kind];
  const { roles } = authority;
  const own = heldLetters(aclOf(relation), (role) => roles.has(role));
  return own + (roles.has(readAllRole) ? 'r' : '') + (roles.has(writeAllRole) ? 'awd' : '');
}

export function holdsOnSchema(
  snapshot: CatalogSnapshot,
  authority: Authority,
  name: string,
  letter: string,
): boolean {
  const schema = snapshot.schemas.get(name);
  if (schema === undefined || authority.superuser) return true;
  const { roles } = authority;
  if (letter === 'U' && (roles.has(readAllRole) || roles.has(writeAllRole))) return true;
  return heldLetters(schemaAclOf(schema), (role) => roles.has(role)).includes(letter);
}

/** Throws 42501. */
export function requireSchema(
  snapshot: CatalogSnapshot,
  authority: Authority,
  name: string,
  letter: 'U' | 'C',
  position?: number,
): void {
  if (!holdsOnSchema(snapshot, authority, name, letter))
    throw denied(`permission denied for schema ${name}`, position);
}

/** Throws 42501 unless the user has the privileges of the owner. @param what `table t` */
export function requireOwner(authority: Authority, owner: string, what: string): void {
  if (!authority.has(owner)) throw denied(`must be owner of ${what}`);
}

export function unknownPrivilege(name: string): SqlError {
  return new SqlError('42601', `unrecognized privilege type "${name}"`);
}

export function wrongPrivilege(name: string, kind: ProtectedKind): SqlError {
  const word = kind === 'view' ? 'table' : kind;
  return new SqlError('0LP01', `invalid privilege type ${name.toUpperCase()} for ${word}`);
}
