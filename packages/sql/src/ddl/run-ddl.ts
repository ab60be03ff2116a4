/**
 * The door of DDL: which statements it takes, and how one of them runs. By itself it is a transaction, run again where
 * another change of the catalog came first; in a block it leaves its changes in the block's editor and transaction.
 */
import { DbError } from '@flotilla/base';
import type { Node } from 'libpg-query';
import type { DatabaseCatalog } from '../catalog/database-catalog.ts';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import { CatalogEditor } from '../catalog/editor.ts';
import type { CatalogIds } from '../catalog/ids.ts';
import { NameResolver } from '../catalog/name-resolver.ts';
import { type Pace, type Run, withCatalog } from '../execute/run.ts';
import { catalogOf } from '../functions/sequences.ts';
import type { EvalContext } from '../functions/signature.ts';
import { isUnknown } from '../kv-errors.ts';
import type { IsolationLevel, KvDatabase, KvTransaction } from '../kv-transaction.ts';
import { conflictRunsMax } from '../limits.ts';
import type { StorageClaims } from '../loading/storage-claims.ts';
import type { SourceText } from '../parse/position.ts';
import type { IndexTest } from '../plan/choose-path.ts';
import { authorityOf } from '../roles/authority.ts';
import { alterDefaultPrivileges, grant } from '../roles/grant.ts';
import { alterOwner, dropOwned, reassignOwned } from '../roles/owned.ts';
import { alterRole, createRole, dropRole, grantRole } from '../roles/role-statements.ts';
import { alterDatabaseSettings, alterRoleSettings } from '../roles/stored-settings.ts';
import type { Notice } from '../session-api.ts';
import { dropAtCommit } from '../temporary/on-commit.ts';
import type { TemporaryClaim } from '../temporary/temporary-schemas.ts';
import type { AfterChange } from './after-change.ts';
import { alterTable } from './alter-table.ts';
import { comment } from './comment.ts';
import { createIndex } from './create-index.ts';
import { createTable } from './create-table.ts';
import { createTableAs } from './create-table-as.ts';
import { alterDatabase, createDatabase, dropDatabase } from './databases.ts';
import { DdlContext } from './ddl-context.ts';
import { alterDomain, createDomain } from './domains.ts';
import { drop } from './drop.ts';
import { createExtension } from './extensions.ts';
import { createMaterializedView, refreshMaterializedView } from './materialized-views.ts';
import { rebased } from './rebase.ts';
import { rename } from './rename.ts';
import { alterObjectSchema, createSchema } from './schemas.ts';
import { alterSequence, createSequence } from './sequences.ts';
import { truncate } from './truncate.ts';
import { alterEnum, createEnum } from './types.ts';
import { createView } from './views.ts';

export interface DdlOptions {
  readonly database: KvDatabase;
  readonly catalog: DatabaseCatalog;
  readonly ids: CatalogIds;
  readonly afterChange: AfterChange;
  readonly beginLoad: () => StorageClaims;
  readonly source: SourceText;
  /** The statement's own text. */
  readonly text: string;
  readonly evaluation: EvalContext;
  readonly searchPath: readonly string[];
  readonly temporary: () => Promise<TemporaryClaim>;
  readonly pace: Pace;
  /** Pauses before run `attempt` of a change that met a conflict. */
  readonly backOff: (attempt: number) => Promise<void>;
  readonly onNotice: (notice: Notice) => void;
  /** For the query of a statement that makes a table of its rows. */
  readonly workspace: () => Pick<Run, 'memory' | 'spill'>;
  /** Which secondary indexes such a query may read; undefined: all of them. */
  readonly usable: IndexTest | undefined;
  /** So many rows were written to the table. */
  readonly noteRows: (table: TableDescriptor, rows: number) => void;
  /** Whether the open block has still to check rows of a table. */
  readonly owesChecks: (table: number) => boolean;
  /** The open block's: what is changed is left there. */
  readonly block:
    | {
        readonly editor: CatalogEditor;
        readonly transaction: KvTransaction;
        readonly claims: StorageClaims;
      }
    | undefined;
}

type Change = (context: DdlContext) => Promise<string>;

/** How to run a statement, which gives its command tag; undefined for one that is no DDL. */
function changeOf(tree: Node): Change | undefined {
  if ('CreateStmt' in tree) return (context) => createTable(context, tree.CreateStmt);
  if ('CreateTableAsStmt' in tree)
    return tree.CreateTableAsStmt.objtype === 'OBJECT_MATVIEW'
      ? (context) => createMaterializedView(context, tree.CreateTableAsStmt)
      : (context) => createTableAs(context, tree.CreateTableAsStmt);
  if ('RefreshMatViewStmt' in tree)
    return (context) => refreshMaterializedView(context, tree.RefreshMatViewStmt);
  if ('DropStmt' in tree) return (context) => drop(context, tree.DropStmt);
  if ('TruncateStmt' in tree) return (context) => truncate(context, tree.TruncateStmt);
  if ('AlterTableStmt' in tree) return (context) => alterTable(context, tree.AlterTableStmt);
  if ('RenameStmt' in tree) return (context) => rename(context, tree.RenameStmt);
  if ('IndexStmt' in tree) return (context) => createIndex(context, tree.IndexStmt);
  if ('CreateSchemaStmt' in tree) return (context) => createSchema(context, tree.CreateSchemaStmt);
  if ('CreateSeqStmt' in tree) return (context) => createSequence(context, tree.CreateSeqStmt);
  if ('AlterSeqStmt' in tree) return (context) => alterSequence(context, tree.AlterSeqStmt);
  if ('ViewStmt' in tree) return (context) => createView(context, tree.ViewStmt);
  if ('CreateExtensionStmt' in tree)
    return (context) => createExtension(context, tree.CreateExtensionStmt);
  if ('CreateEnumStmt' in tree) return (context) => createEnum(context, tree.CreateEnumStmt);
  if ('AlterEnumStmt' in tree) return (context) => alterEnum(context, tree.AlterEnumStmt);
  if ('CreateDomainStmt' in tree) return (context) => createDomain(context, tree.CreateDomainStmt);
  if ('AlterDomainStmt' in tree) return (context) => alterDomain(context, tree.AlterDomainStmt);
  if ('CommentStmt' in tree) return (context) => comment(context, tree.CommentStmt);
  if ('AlterObjectSchemaStmt' in tree)
    return (context) => alterObjectSchema(context, tree.AlterObjectSchemaStmt);
  if ('GrantStmt' in tree) return async (context) => grant(context, tree.GrantStmt);
  if ('AlterDefaultPrivilegesStmt' in tree)
    return async (context) => alterDefaultPrivileges(context, tree.AlterDefaultPrivilegesStmt);
  if ('AlterOwnerStmt' in tree) return async (context) => alterOwner(context, tree.AlterOwnerStmt);
  if ('ReassignOwnedStmt' in tree)
    return async (context) => reassignOwned(context, tree.ReassignOwnedStmt);
  if ('DropOwnedStmt' in tree) return async (context) => dropOwned(context, tree.DropOwnedStmt);
  if ('CreateRoleStmt' in tree) return (context) => createRole(context, tree.CreateRoleStmt);
  if ('AlterRoleStmt' in tree) return (context) => alterRole(context, tree.AlterRoleStmt);
  if ('DropRoleStmt' in tree) return (context) => dropRole(context, tree.DropRoleStmt);
  if ('GrantRoleStmt' in tree) return async (context) => grantRole(context, tree.GrantRoleStmt);
  if ('AlterRoleSetStmt' in tree)
    return async (context) => alterRoleSettings(context, tree.AlterRoleSetStmt);
  if ('CreatedbStmt' in tree) return (context) => createDatabase(context, tree.CreatedbStmt);
  if ('DropdbStmt' in tree) return (context) => dropDatabase(context, tree.DropdbStmt);
  if ('AlterDatabaseStmt' in tree)
    return async (context) => alterDatabase(context, tree.AlterDatabaseStmt);
  if ('AlterDatabaseSetStmt' in tree)
    return async (context) => alterDatabaseSettings(context, tree.AlterDatabaseSetStmt);
  return undefined;
}

/**
 * What a materialized view shows is the result of a snapshot, whatever has become of that by the commit. After it a refresh
 * looks at the catalog anew, see `rebased`.
 */
function isolationOf(tree: Node): IsolationLevel {
  if ('RefreshMatViewStmt' in tree) return 'read committed';
  const creates =
    'CreateTableAsStmt' in tree && tree.CreateTableAsStmt.objtype === 'OBJECT_MATVIEW';
  return creates ? 'repeatable read' : 'serializable';
}

/** @returns the command tag. Throws SqlError, DbError. */
export async function runDdl(tree: Node, options: DdlOptions): Promise<string> {
  const change = changeOf(tree);
  if (change === undefined) throw new RangeError('the statement is DDL');
  if (options.block !== undefined) {
    const { block } = options;
    const { editor } = block;
    const mark = editor.mark();
    try {
      return await change(contextOf(options, block, options.onNotice));
    } catch (error) {
      editor.restore(mark);
      throw error;
    }
  }
  for (let attempt = 1; ; attempt++) {
    const snapshot = await options.catalog.loadNewest();
    const editor = new CatalogEditor(snapshot);
    const transaction = options.database.begin({ isolation: isolationOf(tree) });
    const claims = options.beginLoad();
    const notices: Notice[] = [];
    try {
      const notify = (notice: Notice) => notices.push(notice);
      const context = contextOf(options, { editor, transaction, claims }, notify);
      const tag = await change(context);
      dropAtCommit(editor);
      const { rebasable } = context;
      const { catalog } = options;
      const made =
        rebasable === undefined
          ? editor
          : await rebased(editor, rebasable, { catalog, transaction });
      if (made.changed) {
        await claims.settle(transaction, made, options.pace.signal);
        await catalog.change(made, transaction);
        claims.committed();
      } else transaction.rollback();
      for (const notice of notices) options.onNotice(notice);
      await options.afterChange(made);
      return tag;
    } catch (error) {
      transaction.rollback();
      // Where nobody knows, it is found out by those who look for what was left behind.
      if (!isUnknown(error)) claims.rolledBack();
      const conflict = error instanceof DbError && error.code === 'CONFLICT';
      if (!conflict || attempt >= conflictRunsMax) throw error;
      await options.backOff(attempt);
    }
  }
}

function contextOf(
  options: DdlOptions,
  { editor, transaction, claims }: NonNullable<DdlOptions['block']>,
  notify: (notice: Notice) => void,
): DdlContext {
  const { database, ids, source, text, searchPath, temporary, pace } = options;
  const { owesChecks, noteRows, usable } = options;
  const { sequences, authority, backend } = catalogOf(options.evaluation);
  const { user } = options.evaluation;
  const { trusted } = authority;
  const evaluation = withCatalog(options.evaluation, {
    sequences,
    backend,
    get authority() {
      return authorityOf(editor.snapshot, { user, trusted });
    },
    authorityOf: (role) => authorityOf(editor.snapshot, { user: role, trusted }),
    get names() {
      return new NameResolver(editor.snapshot, searchPath);
    },
  });
  const run: Run = {
    transaction,
    evaluation,
    pace,
    ...options.workspace(),
    ctes: undefined,
    writes: undefined,
    lockRows: false,
    usable: () => false,
    lockTimeoutMs: 0,
    newest: undefined,
    deferral: undefined,
  };
  return new DdlContext({
    editor,
    ids,
    database,
    claims,
    transaction,
    source,
    text,
    evaluation,
    searchPath,
    temporary,
    run,
    owesChecks,
    noteRows,
    usable,
    notify,
  });
}
