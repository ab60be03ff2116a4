/** `drizzle(client, config)`: puts Drizzle's database together. */
import type { Flotilla } from '@flotilla/client';
import { DefaultLogger } from 'drizzle-orm/logger';
import { PgDatabase, PgDialect } from 'drizzle-orm/pg-core';
import {
  createTableRelationsHelpers,
  type ExtractTablesWithRelations,
  extractTablesRelationalConfig,
  type RelationalSchemaConfig,
  type TablesRelationalConfig,
} from 'drizzle-orm/relations';
import type { DrizzleConfig } from 'drizzle-orm/utils';
import { type FlotillaQueryResultHKT, FlotillaSession } from './session.ts';

type NoSchema = Record<string, never>;

export class FlotillaDatabase<
  TSchema extends Record<string, unknown> = NoSchema,
> extends PgDatabase<FlotillaQueryResultHKT, TSchema> {}

/** `schema` (for relational queries), `logger`, `casing`, `cache`: Drizzle's own. */
export type FlotillaDrizzleConfig<TSchema extends Record<string, unknown> = NoSchema> =
  DrizzleConfig<TSchema>;

/**
 * Drizzle's database over a client, which stays the caller's to close.
 * @returns the database, with the client as `$client`
 */
export function drizzle<TSchema extends Record<string, unknown> = NoSchema>(
  client: Flotilla,
  config: FlotillaDrizzleConfig<TSchema> = {},
): FlotillaDatabase<TSchema> & { readonly $client: Flotilla } {
  const { casing, cache } = config;
  const dialect = new PgDialect(casing === undefined ? {} : { casing });
  const logger = config.logger === true ? new DefaultLogger() : config.logger || undefined;
  const schema = relationsOf(config.schema);
  const session = new FlotillaSession(client, dialect, schema, {
    ...(logger === undefined ? {} : { logger }),
    ...(cache === undefined ? {} : { cache }),
  });
  const db = new FlotillaDatabase<TSchema>(
    dialect,
    session,
    // Drizzle computes the type of what it finds in the schema; what was found is that.
    schema as RelationalSchemaConfig<ExtractTablesWithRelations<TSchema>> | undefined,
  );
  return Object.assign(db, { $client: client });
}

function relationsOf(
  fullSchema: Record<string, unknown> | undefined,
): RelationalSchemaConfig<TablesRelationalConfig> | undefined {
  if (fullSchema === undefined) return undefined;
  const found = extractTablesRelationalConfig(fullSchema, createTableRelationsHelpers);
  return { fullSchema, schema: found.tables, tableNamesMap: found.tableNamesMap };
}
