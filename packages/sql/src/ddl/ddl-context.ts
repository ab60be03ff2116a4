/**
 * What one DDL statement works with: the catalog in the making, a transaction that sees the rows, and the session's names.
 * Made by run-ddl.ts.
 */
import type { Span } from '@flotilla/base';
import type { RangeVar } from 'libpg-query';
import { BindContext } from '../bind/context.ts';
import { judgeOf } from '../bind/stored-expression.ts';
import { type Acl, defaultAcl, heldLetters } from '../catalog/acl.ts';
import type {
  RelationDescriptor,
  SchemaDescriptor,
  TableDescriptor,
} from '../catalog/descriptor.ts';
import type { CatalogEditor } from '../catalog/editor.ts';
import type { CatalogIds } from '../catalog/ids.ts';
import { NameResolver } from '../catalog/name-resolver.ts';
import { databaseAclOf } from '../catalog/object-acl.ts';
import { isMaterialized, wordOf } from '../catalog/relation-word.ts';
import { type CatalogSnapshot, catalogSchema, isSystemSchema } from '../catalog/snapshot.ts';
import { temporaryAlias } from '../catalog/temporary-schema.ts';
import { roleNames } from '../catalog/virtual/system-oids.ts';
import type { Run } from '../execute/run.ts';
import { catalogOf } from '../functions/sequences.ts';
import type { EvalContext } from '../functions/signature.ts';
import type { KvDatabase, KvTransaction } from '../kv-transaction.ts';
import type { StorageClaims } from '../loading/storage-claims.ts';
import type { SourceText } from '../parse/position.ts';
import type { IndexTest } from '../plan/choose-path.ts';
import { requireOwner, requireSchema } from '../roles/access.ts';
import type { Authority } from '../roles/authority.ts';
import type { Notice } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { storageIdIn } from '../storage/table-store.ts';
import type { TemporaryClaim } from '../temporary/temporary-schemas.ts';
import type { Rebasable } from './rebase.ts';

export interface DdlContextOptions {
  readonly editor: CatalogEditor;
  readonly ids: CatalogIds;
  /** For what stays whatever becomes of the transaction. */
  readonly database: KvDatabase;
  /** Storage that nobody else can know of yet. */
  readonly claims: StorageClaims;
  /** Sees the rows of tables as the statement sees them. */
  readonly transaction: KvTransaction;
  readonly source: SourceText;
  /** The statement's own text. */
  readonly text: string;
  readonly evaluation: EvalContext;
  readonly searchPath: readonly string[];
  /** The session's own schema of temporary objects; it may not be there yet. Throws DbError. */
  readonly temporary: () => Promise<TemporaryClaim>;
  readonly run: Run;
  /** Whether the transaction has still to check rows of a table. */
  readonly owesChecks: (table: number) => boolean;
  /** Which secondary indexes a query of the statement may read; undefined: all of them. */
  readonly usable: IndexTest | undefined;
  /** So many rows were written to the table: what is known of them is out of date. */
  readonly noteRows: (table: TableDescriptor, rows: number) => void;
  readonly notify: (notice: Notice) => void;
}

export class DdlContext {
  readonly options: DdlContextOptions;
  /** All that the statement changes, where it may be changed of a newer catalog. Undefined: it may not. */
  rebasable: Rebasable | undefined;

  constructor(options: DdlContextOptions) {
    this.options = options;
  }

  get editor(): CatalogEditor {
    return this.options.editor;
  }

  get snapshot(): CatalogSnapshot {
    return this.options.editor.snapshot;
  }

  get user(): string {
    return this.options.evaluation.user;
  }

  /** Who began the session, whatever role it has taken since. */
  get sessionUser(): string {
    return this.options.evaluation.setting('session_authorization') ?? this.user;
  }

  /** What the user may do, by the roles as the transaction has changed them. */
  get authority(): Authority {
    return catalogOf(this.options.evaluation).authority;
  }

  authorityOf(role: string): Authority {
    return catalogOf(this.options.evaluation).authorityOf(role);
  }

  /** Throws 42501. */
  requireOwner(relation: RelationDescriptor): void {
    requireOwner(this.authority, relation.owner, `${wordOf(relation)} ${relation.name}`);
  }

  /** Throws 55006 where rows of it are still to be checked. @param command `ALTER TABLE` */
  requireSettled({ id, name }: TableDescriptor, command: string): void {
    if (this.options.owesChecks(id))
      throw new SqlError(
        '55006',
        `cannot ${command} "${name}" because it has pending trigger events`,
      );
  }

  /** Throws 42501. */
  requireSchemaOwner(schema: SchemaDescriptor): void {
    requireOwner(this.authority, schema.owner, `schema ${schema.name}`);
  }

  /** What was granted before on an object that the user makes there. */
  initialAcl(kind: 'table' | 'sequence' | 'schema', schema: string): { readonly acl?: Acl } {
    const owner = this.user;
    const items = (this.snapshot.database.defaults ?? [])
      .filter((one) => one.role === owner && one.kind === kind && ['', schema].includes(one.schema))
      .flatMap((one) => one.acl);
    if (items.length === 0) return {};
    return { acl: [...defaultAcl(kind, owner), ...items] };
  }

  /** Whether somebody has this name: also those who were let in unasked. */
  isRole(name: string): boolean {
    return roleNames(this.snapshot, this.user).includes(name);
  }

  takeId(): Promise<number> {
    return this.options.ids.take();
  }

  /** A place for rows beside those of the database's other tables. */
  async takeStorageId(): Promise<number> {
    return this.storageIdFor(await this.takeId());
  }

  /** The first place of what has just been given this id. */
  storageIdFor(id: number): number {
    return storageIdIn(this.snapshot.database.id, id);
  }

  /** Nobody knows of this span before the change commits, and nothing is in it. */
  claim(span: Span): void {
    this.options.claims.claim(this.options.transaction, span);
  }

  /** What was written to new storage leaves memory if it is much. Throws DbError. */
  relieve(): Promise<void> {
    const { claims, transaction, run } = this.options;
    return claims.relieve(transaction, run.pace.signal);
  }

  /** For binding what the statement holds, by the names as they are now. */
  binder(source: SourceText = this.options.source): BindContext {
    const { evaluation, searchPath } = this.options;
    const names = new NameResolver(this.snapshot, searchPath);
    return new BindContext({ source, parameterTypes: [], evaluation, names, judgeOf });
  }

  notice(code: string, message: string): void {
    this.options.notify({ severity: 'NOTICE', code, message });
  }

  warning(code: string, message: string): void {
    this.options.notify({ severity: 'WARNING', code, message });
  }

  /** Where a new object goes that may be temporary. Throws 3F000, 42501, 42P16, 0A000, DbError. */
  async targetSchema(variable: RangeVar, name: string): Promise<string> {
    const { schemaname, relpersistence } = variable;
    if (relpersistence !== 't' && schemaname !== temporaryAlias)
      return this.creationSchema(variable, name);
    if (schemaname !== undefined && schemaname !== temporaryAlias)
      throw this.binder().error(
        '42P16',
        'cannot create temporary relation in non-temporary schema',
        variable.location,
      );
    const acl = databaseAclOf(this.snapshot.database);
    const { database } = this.options.evaluation;
    const { superuser, roles } = this.authority;
    if (!superuser && !heldLetters(acl, (role) => roles.has(role)).includes('T'))
      throw new SqlError(
        '42501',
        `permission denied to create temporary tables in database "${database}"`,
      );
    const { id, name: schema, process } = await this.options.temporary();
    if (!this.snapshot.schemas.has(schema))
      this.editor.putSchema({
        kind: 'schema',
        id,
        name: schema,
        owner: this.sessionUser,
        temporary: process,
      });
    return schema;
  }

  /** Where a new object goes. Throws 3F000, 42501, 0A000. */
  creationSchema(
    variable: {
      readonly schemaname?: string;
      readonly catalogname?: string;
      readonly location?: number;
    },
    name: string,
  ): string {
    const { schemaname, catalogname } = variable;
    const context = this.binder();
    const position = context.source.position(variable.location);
    if (catalogname !== undefined && catalogname !== this.options.evaluation.database)
      throw context.error(
        '0A000',
        `cross-database references are not implemented: "${catalogname}.${schemaname ?? ''}.${name}"`,
        variable.location,
      );
    if (schemaname === undefined) {
      const first = context.names.schemas.find((one) => !isSystemSchema(one));
      if (first === undefined)
        throw context.error('3F000', 'no schema has been selected to create in', variable.location);
      requireSchema(this.snapshot, this.authority, first, 'C', position);
      return first;
    }
    if (!this.snapshot.schemas.has(schemaname))
      throw context.error('3F000', `schema "${schemaname}" does not exist`, variable.location);
    if (isSystemSchema(schemaname))
      throw new SqlError('42501', `permission denied to create "${schemaname}.${name}"`, {
        detail: 'System catalog modifications are currently disallowed.',
      });
    requireSchema(this.snapshot, this.authority, schemaname, 'C', position);
    return schemaname;
  }

  /** A relation of the user's, by a name as written. Undefined: there is none. Throws 42501 for a system table. */
  find(written: string | undefined, name: string): RelationDescriptor | undefined {
    const schema = this.binder().names.schemaOf(written);
    if (schema !== undefined) requireSchema(this.snapshot, this.authority, schema, 'U');
    const found = this.binder().names.find(schema, name);
    if (found === undefined) return undefined;
    if (found.kind === 'virtual')
      throw new SqlError('42501', `permission denied: "${name}" is a system catalog`);
    return found;
  }

  /** Throws 42P01, 42809 where the relation is of another kind. */
  table(variable: RangeVar): TableDescriptor {
    const found = this.rowsOf(variable);
    if (isMaterialized(found)) throw new SqlError('42809', `"${found.name}" is not a table`);
    return found;
  }

  /** A table or a materialized view. Throws as `table`. */
  rowsOf(variable: RangeVar): TableDescriptor {
    const { schemaname, relname = '' } = variable;
    const found = this.find(schemaname, relname);
    if (found === undefined) throw missingRelation(this, schemaname, relname, 'relation');
    if (found.kind !== 'table') throw new SqlError('42809', `"${relname}" is not a table`);
    return found;
  }
}

export function missingRelation(
  context: DdlContext,
  schema: string | undefined,
  name: string,
  word: string,
): SqlError {
  if (schema !== undefined && !context.snapshot.schemas.has(schema) && word !== 'relation')
    return new SqlError('3F000', `schema "${schema}" does not exist`);
  const shown = schema === undefined || schema === catalogSchema ? name : `${schema}.${name}`;
  return new SqlError('42P01', `${word} "${word === 'relation' ? shown : name}" does not exist`);
}
