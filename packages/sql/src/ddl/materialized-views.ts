/**
 * CREATE and REFRESH MATERIALIZED VIEW. Its rows lie like a table's. A refresh writes them to new storage, which takes the
 * place of the old with the commit: until then, and if there is none, everybody sees those of before. The query runs with the
 * rights of its owner, as it was written.
 */
import type { CreateTableAsStmt, RefreshMatViewStmt, SelectStmt } from 'libpg-query';
import { nameParts } from '../bind/ast.ts';
import { bindClosedQuery } from '../bind/bind-query.ts';
import { bindViewQuery } from '../bind/bind-view.ts';
import { BindContext } from '../bind/context.ts';
import { topLevel } from '../bind/level.ts';
import { judgeOf } from '../bind/stored-expression.ts';
import type { Dependency } from '../catalog/catalog.ts';
import type { MaterializedQuery, TableDescriptor } from '../catalog/descriptor.ts';
import type { CatalogEditor } from '../catalog/editor.ts';
import { NameResolver } from '../catalog/name-resolver.ts';
import { isMaterialized } from '../catalog/relation-word.ts';
import { isTemporarySchema } from '../catalog/temporary-schema.ts';
import type { Row } from '../execute/evaluate.ts';
import { asRole } from '../execute/run.ts';
import { scanTokens, type Token } from '../parse/grammar.ts';
import { checkNeeds } from '../roles/access.ts';
import { SqlError } from '../sql-error.ts';
import { storageSpan } from '../storage/table-store.ts';
import { quoteIdentifier } from '../types/identifier.ts';
import { recordCodec } from '../types/record.ts';
import { RecordValue } from '../types/values.ts';
import { checkStorage, emptyTable, refuseTaken, storageOf } from './creation.ts';
import type { DdlContext } from './ddl-context.ts';
import { columnsOfQuery, fillTable } from './fill-table.ts';
import type { RefuseDuplicate } from './pair-writer.ts';
import { setRangeParameters } from './range-parameters.ts';
import { textBehindAs } from './views.ts';

const createTag = 'CREATE MATERIALIZED VIEW';
const refreshTag = 'REFRESH MATERIALIZED VIEW';

type Materialized = TableDescriptor & { readonly materialized: MaterializedQuery };

export async function createMaterializedView(
  ddl: DdlContext,
  statement: CreateTableAsStmt,
): Promise<string> {
  const context = ddl.binder();
  const { query, into, if_not_exists: ifNotExists } = statement;
  if (into?.rel === undefined || query === undefined || !('SelectStmt' in query))
    throw context.unsupported(`${createTag} without a query`);
  const bound = bindClosedQuery(context, query.SelectStmt, topLevel());
  refuseQuery(context, query.SelectStmt);
  const { rel, options = [], skipData } = into;
  if (rel.relpersistence === 'u')
    throw new SqlError('0A000', 'materialized views cannot be unlogged');
  const name = rel.relname ?? '';
  const schema = ddl.creationSchema(rel, name);
  if (refuseTaken(ddl, schema, name, ifNotExists === true)) return createTag;
  checkStorage(context, storageOf(into));
  const columns = columnsOfQuery(context, bound.columns, nameParts(into.colNames));
  const uses = [
    ...context.names.dependencies.map(({ relation }) => relation.id),
    ...columns.flatMap(({ type }) => ddl.snapshot.descriptorOf(type)?.id ?? []),
  ];
  const view: Materialized = {
    ...(await emptyTable(ddl, schema, name)),
    columns,
    ranges: setRangeParameters(undefined, options),
    materialized: {
      query: withoutDataClause(textBehindAs(ddl.options.text)),
      searchPath: ddl.options.searchPath,
      outputs: bound.columns.map((column) => column.name),
      uses: [...new Set(uses)],
      populated: skipData !== true,
    },
  };
  const count = skipData === true ? 0 : await fill(ddl, view, { names: context.names });
  ddl.editor.put<TableDescriptor>(view);
  return skipData === true ? createTag : `SELECT ${count}`;
}

function isTemporary({ relation }: Dependency): boolean {
  return relation.kind !== 'type' && isTemporarySchema(relation.schema);
}

/** Throws 0A000. */
function refuseQuery(context: BindContext, { withClause }: SelectStmt): void {
  const writes = (withClause?.ctes ?? []).some(
    (node) =>
      'CommonTableExpr' in node &&
      node.CommonTableExpr.ctequery !== undefined &&
      !('SelectStmt' in node.CommonTableExpr.ctequery),
  );
  if (writes)
    throw new SqlError(
      '0A000',
      'materialized views must not use data-modifying statements in WITH',
    );
  if (context.names.dependencies.some(isTemporary))
    throw new SqlError('0A000', 'materialized views must not use temporary tables or views');
  if (context.finalParameterTypes().length > 0)
    throw new SqlError('0A000', 'materialized views may not be defined using bound parameters');
}

/** The query without WITH [NO] DATA, which is none of it. */
function withoutDataClause(text: string): string {
  const tokens = scanTokens(text).filter((token) => !/^(--|\/\*)/.test(token.text));
  const last = (back: number): string => tokens.at(-back)?.text.toLowerCase() ?? '';
  const words = last(2) === 'no' ? 3 : 2;
  const first: Token | undefined = tokens.at(-words);
  if (last(1) !== 'data' || first?.text.toLowerCase() !== 'with') return text;
  const start = first.end - Buffer.byteLength(first.text, 'utf8');
  return Buffer.from(text, 'utf8').subarray(0, start).toString('utf8').trim();
}

export async function refreshMaterializedView(
  ddl: DdlContext,
  statement: RefreshMatViewStmt,
): Promise<string> {
  const { concurrent, skipData } = statement;
  const view = viewToRefresh(ddl, statement);
  const { materialized } = view;
  if (concurrent === true) {
    if (!materialized.populated)
      throw new SqlError(
        '0A000',
        'CONCURRENTLY cannot be used when the materialized view is not populated',
      );
    if (skipData === true)
      throw new SqlError('42601', 'CONCURRENTLY and WITH NO DATA options cannot be used together');
    requireUniqueIndex(view);
  }
  const { filledAt: _, ...rest } = view;
  const storageId = await ddl.takeStorageId();
  ddl.claim(storageSpan(storageId));
  const populated = skipData !== true;
  const next: Materialized = { ...rest, storageId, materialized: { ...materialized, populated } };
  const names = new NameResolver(ddl.snapshot, ddl.options.searchPath);
  names.note(view);
  if (populated)
    await fill(ddl, next, {
      names,
      ...(concurrent === true && { refuse: refuseAsAdded(ddl, next) }),
    });
  const apply = (editor: CatalogEditor): void => {
    editor.addGarbage(storageSpan(view.storageId));
    editor.put<TableDescriptor>(next);
  };
  apply(ddl.editor);
  const { version, contents } = ddl.snapshot;
  ddl.rebasable = {
    on: {
      dependencies: names.dependencies,
      database: contents.database,
      catalogVersion: version,
      access: contents.access,
      provisional: undefined,
    },
    apply,
  };
  return refreshTag;
}

/** Throws 42P01, 3F000, 42501, 42809, 0A000. */
function viewToRefresh(ddl: DdlContext, { relation }: RefreshMatViewStmt): Materialized {
  const { schemaname, relname = '' } = relation ?? {};
  const { names } = ddl.binder();
  const schema = names.schemaOf(schemaname);
  if (schema !== undefined && !ddl.snapshot.schemas.has(schema))
    throw new SqlError('3F000', `schema "${schema}" does not exist`);
  const found = ddl.find(schemaname, relname);
  if (found === undefined) {
    const path = schema === undefined ? names.path : [schema];
    if (path.some((one) => ddl.snapshot.findIndex(one, relname) !== undefined))
      throw neitherTableNorView(relname);
    const shown = schemaname === undefined ? relname : `${schemaname}.${relname}`;
    throw new SqlError('42P01', `relation "${shown}" does not exist`);
  }
  if (found.kind !== 'table') throw neitherTableNorView(relname);
  ddl.requireOwner(found);
  if (!isMaterialized(found))
    throw new SqlError('0A000', `"${relname}" is not a materialized view`);
  return found as Materialized;
}

function neitherTableNorView(name: string): SqlError {
  return new SqlError('42809', `"${name}" is not a table or materialized view`);
}

/** What tells rows apart when old and new ones are there beside each other. Throws 55000. */
function requireUniqueIndex({ schema, name, indexes }: TableDescriptor): void {
  const fits = indexes.some(
    ({ unique, predicate, columns }) =>
      unique && predicate === undefined && columns.every((one) => one.expression === undefined),
  );
  if (fits) return;
  const shown = `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
  throw new SqlError('55000', `cannot refresh materialized view "${shown}" concurrently`, {
    hint: 'Create a unique index with no WHERE clause on one or more columns of the materialized view.',
  });
}

/** Runs the query. @param names what it rests on is noted there. @returns how many rows there are. Throws what the query throws, 42501, 23505. */
async function fill(
  ddl: DdlContext,
  view: Materialized,
  { names, refuse }: { readonly names: NameResolver; readonly refuse?: RefuseDuplicate },
): Promise<number> {
  const { materialized, owner } = view;
  const { source, run } = ddl.options;
  const evaluation = asRole(run.evaluation, owner);
  const context = new BindContext({ source, parameterTypes: [], evaluation, names, judgeOf });
  const columns = view.columns.map((column, i) => ({
    ...column,
    output: materialized.outputs[i] ?? column.name,
  }));
  const query = bindViewQuery(context, { ...view, ...materialized, columns });
  const { access } = context;
  checkNeeds(access.needs, ddl.snapshot, ddl.authority, (role) => ddl.authorityOf(role));
  if (access.refusal !== undefined) throw access.refusal.error();
  return fillTable(ddl, view, query, {
    run: { ...run, evaluation },
    // A snapshot from before may not see some of the rows.
    flush: true,
    ...(refuse === undefined ? {} : { refuse }),
  });
}

/** CONCURRENTLY words duplicates as if rows were added to those of before. */
function refuseAsAdded(ddl: DdlContext, { name, columns }: TableDescriptor): RefuseDuplicate {
  const { evaluation } = ddl.options;
  const types = columns.map(({ type }) => type);
  const text = (row: Row): string => recordCodec.format(new RecordValue(row, types), evaluation);
  return ({ index, key, table, row }, earlier) => {
    const shown = text(row);
    if (earlier !== undefined && !row.includes(null) && shown === text(earlier))
      return new SqlError(
        '21000',
        `new data for materialized view "${name}" contains duplicate rows without any null columns`,
        { detail: `Row: ${shown}` },
      );
    return new SqlError('23505', `duplicate key value violates unique constraint "${index}"`, {
      detail: `Key ${key} already exists.`,
      schema: table.schema,
      table: table.name,
      constraint: index,
    });
  };
}
