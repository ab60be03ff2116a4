/** What Kysely asks of a database: PostgreSQL's compiler, adapter and introspection, and a driver of our own. */
import type { Flotilla } from '@flotilla/client';
import {
  type DatabaseIntrospector,
  type Dialect,
  type DialectAdapter,
  type Driver,
  type Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryCompiler,
} from 'kysely';
import { FlotillaDriver } from './flotilla-driver.ts';

export interface FlotillaDialectConfig {
  /**
   * A client, which stays the caller's; or what makes one when the first query comes, which `destroy` of the Kysely instance
   * closes.
   */
  readonly client: Flotilla | (() => Promise<Flotilla>);
}

export class FlotillaDialect implements Dialect {
  private readonly config: FlotillaDialectConfig;

  constructor(config: FlotillaDialectConfig) {
    this.config = config;
  }

  createDriver(): Driver {
    return new FlotillaDriver(this.config.client);
  }

  createQueryCompiler(): QueryCompiler {
    return new PostgresQueryCompiler();
  }

  createAdapter(): DialectAdapter {
    return new PostgresAdapter();
  }

  // Kysely's own interface says `Kysely<any>`; nothing here depends on the tables.
  createIntrospector(db: Kysely<unknown>): DatabaseIntrospector {
    return new PostgresIntrospector(db);
  }
}
