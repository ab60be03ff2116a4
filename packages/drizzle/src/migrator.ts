/** Migrations as drizzle-kit writes them. */
import { type MigrationConfig, readMigrationFiles } from 'drizzle-orm/migrator';
import type { FlotillaDatabase } from './driver.ts';

export type FlotillaMigrationConfig = MigrationConfig;

/** What a database has and its declaration leaves out. */
interface WithDialect {
  readonly dialect: {
    migrate(migrations: unknown, session: unknown, config: MigrationConfig): Promise<void>;
  };
  readonly session: unknown;
}

/** Runs what has not been run yet, in one transaction. @throws DrizzleQueryError; what reading the folder throws */
export async function migrate<TSchema extends Record<string, unknown>>(
  db: FlotillaDatabase<TSchema>,
  config: FlotillaMigrationConfig,
): Promise<void> {
  const { dialect, session } = db as unknown as WithDialect;
  await dialect.migrate(readMigrationFiles(config), session, config);
}
