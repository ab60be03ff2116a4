/** A client of the database in this process: SQL and key-value over one router. Made by `connect` or `createFlotilla`. */
import { DbError } from '@flotilla/base';
import type { Router } from '@flotilla/router';
import type { SessionOptions, SqlEngine, SqlSession } from '@flotilla/sql';
import { createKv, type Kv } from './kv.ts';
import { createSqlTag, type SqlTag } from './sql-tag.ts';

export interface Flotilla {
  /** An ordered map of byte strings, apart from the SQL tables. */
  readonly kv: Kv;
  /** One SQL statement, as a transaction of its own. */
  readonly sql: SqlTag;
  /** A user's connection, with settings of its own. What the gateway serves. @throws DbError CLOSED */
  createSession(options: SessionOptions): SqlSession;
  /** Ends what this client started; operations under way fail. Idempotent. */
  close(): Promise<void>;
}

/** What a Flotilla is made of. `close` releases what its maker handed in. */
export interface FlotillaParts {
  readonly router: Router;
  readonly engine: SqlEngine;
  close(): Promise<void>;
}

/** Who `sql` is run as. */
const ownSession: SessionOptions = { user: 'flotilla', database: 'flotilla' };

export class ComposedFlotilla implements Flotilla {
  readonly kv: Kv;
  readonly sql: SqlTag;
  private readonly parts: FlotillaParts;
  private closing: Promise<void> | undefined;

  constructor(parts: FlotillaParts) {
    this.parts = parts;
    this.kv = createKv(parts.router);
    this.sql = createSqlTag(() => this.createSession(ownSession));
  }

  createSession(options: SessionOptions): SqlSession {
    if (this.closing !== undefined) throw new DbError('CLOSED', 'the client is closed');
    return this.parts.engine.createSession(options);
  }

  close(): Promise<void> {
    this.closing ??= this.parts.close();
    return this.closing;
  }
}
