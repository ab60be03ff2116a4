/** Drizzle's sessions and transactions over the SDK's statements and connections. */
import type { Flotilla, ParseType, SqlParameter, SqlResult, SqlTag } from '@flotilla/client';
import { NoopCache } from 'drizzle-orm/cache/core';
import type { WithCacheConfig } from 'drizzle-orm/cache/core/types';
import { type Logger, NoopLogger } from 'drizzle-orm/logger';
import {
  type PgDialect,
  PgPreparedQuery,
  type PgQueryResultHKT,
  PgSession,
  PgTransaction,
  type PgTransactionConfig,
  type PreparedQueryConfig,
} from 'drizzle-orm/pg-core';
import type { SelectedFieldsOrdered } from 'drizzle-orm/pg-core/query-builders/select.types';
import type { RelationalSchemaConfig, TablesRelationalConfig } from 'drizzle-orm/relations';
import { fillPlaceholders, type Query, type SQL } from 'drizzle-orm/sql/sql';
import { joinsNotNullable, mapResultRow, queryWithCache } from './internals.ts';

/** What `db.execute` gives: the SDK's result. */
export type FlotillaQueryResult<Row> = SqlResult<Row>;

export interface FlotillaQueryResultHKT extends PgQueryResultHKT {
  type: FlotillaQueryResult<this['row']>;
}

/** A user's cache, as Drizzle's own drivers take it. */
export type QueryCache = ConstructorParameters<typeof PgPreparedQuery>[1];

export interface FlotillaSessionOptions {
  readonly logger?: Logger;
  readonly cache?: QueryCache;
}

/** Where statements run: the client's, each by itself, or a connection's, within a transaction. */
export type Statements = Pick<Flotilla, 'sql'>;

/**
 * Drizzle's columns read what node-postgres gives with Drizzle's settings: text of int8, of dates and of times. All other
 * types come as the SDK has them, which is the same.
 */
const textOids: ReadonlySet<number> = new Set([20, 1082, 1114, 1184, 1186]);
const parseType: ParseType = (typeOid) => (textOids.has(typeOid) ? (text) => text : undefined);

type QueryMetadata = ConstructorParameters<typeof PgPreparedQuery>[2];

interface QueryShape<T extends PreparedQueryConfig> {
  readonly fields: SelectedFieldsOrdered | undefined;
  readonly customResultMapper: ((rows: unknown[][]) => T['execute']) | undefined;
}

export class FlotillaPreparedQuery<T extends PreparedQueryConfig> extends PgPreparedQuery<T> {
  private readonly statements: Statements;
  private readonly logger: Logger;
  private readonly shape: QueryShape<T>;

  constructor(
    statements: Statements,
    query: Query,
    options: QueryShape<T> & {
      readonly logger: Logger;
      readonly cache: QueryCache;
      readonly metadata: QueryMetadata;
      readonly cacheConfig: WithCacheConfig | undefined;
    },
  ) {
    super(query, options.cache, options.metadata, options.cacheConfig);
    this.statements = statements;
    this.logger = options.logger;
    this.shape = options;
  }

  async execute(placeholderValues: Record<string, unknown> = {}): Promise<T['execute']> {
    const { fields, customResultMapper } = this.shape;
    if (fields === undefined && customResultMapper === undefined)
      return this.ask(placeholderValues, 'objects');
    const { rows } = await this.ask<unknown[]>(placeholderValues, 'arrays');
    if (customResultMapper !== undefined) return customResultMapper([...rows]);
    const joins = joinsNotNullable(this);
    return rows.map((row) => mapResultRow(fields ?? [], row, joins));
  }

  async all(placeholderValues: Record<string, unknown> = {}): Promise<T['all']> {
    return (await this.ask(placeholderValues, 'objects')).rows;
  }

  /** Drizzle asks. */
  isResponseInArrayMode(): boolean {
    return false;
  }

  private ask<Row>(
    placeholderValues: Record<string, unknown>,
    rowMode: 'objects' | 'arrays',
  ): Promise<SqlResult<Row>> {
    const { sql: text, params } = this.query;
    const parameters = fillPlaceholders(params, placeholderValues);
    this.logger.logQuery(text, parameters);
    // Encoders of columns have made them; what is no parameter all the same is refused by the client.
    const given = parameters as SqlParameter[];
    return queryWithCache(this, { text, parameters }, () =>
      this.statements.sql.unsafe<Row>(text, given, { parseType, rowMode }),
    );
  }
}

type Schema<TSchema extends TablesRelationalConfig> = RelationalSchemaConfig<TSchema> | undefined;

export class FlotillaSession<
  TFullSchema extends Record<string, unknown>,
  TSchema extends TablesRelationalConfig,
> extends PgSession<FlotillaQueryResultHKT, TFullSchema, TSchema> {
  private readonly client: Flotilla;
  private readonly statements: Statements;
  private readonly schema: Schema<TSchema>;
  private readonly options: FlotillaSessionOptions;

  constructor(
    client: Flotilla,
    dialect: PgDialect,
    schema: Schema<TSchema>,
    options: FlotillaSessionOptions & { readonly statements?: Statements },
  ) {
    super(dialect);
    this.client = client;
    this.schema = schema;
    this.options = options;
    this.statements = options.statements ?? client;
  }

  prepareQuery<T extends PreparedQueryConfig = PreparedQueryConfig>(
    query: Query,
    fields: SelectedFieldsOrdered | undefined,
    _name: string | undefined,
    _isResponseInArrayMode: boolean,
    customResultMapper?: (rows: unknown[][]) => T['execute'],
    metadata?: QueryMetadata,
    cacheConfig?: WithCacheConfig,
  ): PgPreparedQuery<T> {
    const { logger = new NoopLogger(), cache = new NoopCache() } = this.options;
    const options = { fields, customResultMapper, logger, cache, metadata, cacheConfig };
    return new FlotillaPreparedQuery(this.statements, query, options);
  }

  /** As `db.transaction` of node-postgres: run once. What fails with 40001 is for the caller to run again. */
  async transaction<T>(
    work: (transaction: FlotillaTransaction<TFullSchema, TSchema>) => Promise<T>,
    config: PgTransactionConfig = {},
  ): Promise<T> {
    const connection = this.client.openConnection();
    try {
      const { sql } = connection;
      const session = new FlotillaSession<TFullSchema, TSchema>(
        this.client,
        this.dialect,
        this.schema,
        { ...this.options, statements: connection },
      );
      const transaction = new FlotillaTransaction(this.dialect, session, {
        schema: this.schema,
        sql,
      });
      await sql.unsafe(beginText(config));
      const result = await work(transaction);
      const { command } = await sql.unsafe('COMMIT');
      // A block in which a statement has failed is rolled back by COMMIT, and only the tag says so.
      if (command === 'ROLLBACK')
        throw new Error('the transaction was rolled back, because a statement in it had failed');
      return result;
    } finally {
      // Whatever has not been committed is rolled back.
      await connection.close();
    }
  }

  override async count(query: SQL): Promise<number> {
    const { rows } = await this.execute<SqlResult<{ readonly count: string }>>(query);
    return Number(rows[0]?.count);
  }
}

export class FlotillaTransaction<
  TFullSchema extends Record<string, unknown>,
  TSchema extends TablesRelationalConfig,
> extends PgTransaction<FlotillaQueryResultHKT, TFullSchema, TSchema> {
  private readonly within: {
    readonly dialect: PgDialect;
    readonly session: FlotillaSession<TFullSchema, TSchema>;
    readonly sql: SqlTag;
  };

  constructor(
    dialect: PgDialect,
    session: FlotillaSession<TFullSchema, TSchema>,
    parts: { readonly schema: Schema<TSchema>; readonly sql: SqlTag; readonly depth?: number },
  ) {
    super(dialect, session, parts.schema, parts.depth ?? 0);
    this.within = { dialect, session, sql: parts.sql };
  }

  /** A savepoint. */
  async transaction<T>(
    work: (transaction: FlotillaTransaction<TFullSchema, TSchema>) => Promise<T>,
  ): Promise<T> {
    const { dialect, session, sql } = this.within;
    const depth = this.nestedIndex + 1;
    const inner = new FlotillaTransaction(dialect, session, { schema: this.schema, sql, depth });
    await sql.unsafe(`SAVEPOINT sp${depth}`);
    try {
      const result = await work(inner);
      await sql.unsafe(`RELEASE SAVEPOINT sp${depth}`);
      return result;
    } catch (error) {
      await sql.unsafe(`ROLLBACK TO SAVEPOINT sp${depth}`);
      throw error;
    }
  }
}

function beginText({ isolationLevel, accessMode, deferrable }: PgTransactionConfig): string {
  const modes = [
    ...(isolationLevel === undefined ? [] : [`ISOLATION LEVEL ${isolationLevel}`]),
    ...(accessMode === undefined ? [] : [accessMode]),
    ...(deferrable === undefined ? [] : [deferrable ? 'DEFERRABLE' : 'NOT DEFERRABLE']),
  ];
  return `BEGIN ${modes.join(', ')}`;
}
