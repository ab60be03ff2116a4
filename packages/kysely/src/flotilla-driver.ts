/** Kysely's connections as sessions of the SDK: one for each use, closed when Kysely gives it back. */
import type { Flotilla, SqlConnection } from '@flotilla/client';
import {
  AbortedTransactionError,
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  type QueryResult,
  type TransactionSettings,
} from 'kysely';

export class FlotillaDriver implements Driver {
  private readonly source: Flotilla | (() => Promise<Flotilla>);
  private readonly open = new Set<FlotillaConnection>();
  private client: Flotilla | undefined;

  constructor(source: Flotilla | (() => Promise<Flotilla>)) {
    this.source = source;
  }

  async init(): Promise<void> {
    this.client = typeof this.source === 'function' ? await this.source() : this.source;
  }

  async acquireConnection(): Promise<DatabaseConnection> {
    if (this.client === undefined) throw new Error('the driver is not initialized, or destroyed');
    const connection = new FlotillaConnection(this.client.openConnection());
    this.open.add(connection);
    return connection;
  }

  async beginTransaction(
    connection: DatabaseConnection,
    { isolationLevel, accessMode }: TransactionSettings,
  ): Promise<void> {
    const isolation = isolationLevel === undefined ? '' : ` ISOLATION LEVEL ${isolationLevel}`;
    await run(connection, `BEGIN${isolation}${accessMode === undefined ? '' : ` ${accessMode}`}`);
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    // A block in which a statement has failed is rolled back by COMMIT, and only the tag says so.
    if ((await run(connection, 'COMMIT')) === 'ROLLBACK') throw new AbortedTransactionError();
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await run(connection, 'ROLLBACK');
  }

  async savepoint(connection: DatabaseConnection, name: string): Promise<void> {
    await run(connection, `SAVEPOINT ${quote(name)}`);
  }

  async rollbackToSavepoint(connection: DatabaseConnection, name: string): Promise<void> {
    await run(connection, `ROLLBACK TO SAVEPOINT ${quote(name)}`);
  }

  async releaseSavepoint(connection: DatabaseConnection, name: string): Promise<void> {
    await run(connection, `RELEASE SAVEPOINT ${quote(name)}`);
  }

  async releaseConnection(connection: DatabaseConnection): Promise<void> {
    const own = ours(connection);
    this.open.delete(own);
    await own.close();
  }

  async destroy(): Promise<void> {
    const { client } = this;
    this.client = undefined;
    await Promise.all([...this.open].map((connection) => connection.close()));
    this.open.clear();
    if (typeof this.source === 'function') await client?.close();
  }
}

class FlotillaConnection implements DatabaseConnection {
  private readonly connection: SqlConnection;
  /** Ends what runs now. */
  private running: AbortController | undefined;

  constructor(connection: SqlConnection) {
    this.connection = connection;
  }

  /** The command tag of a statement of the driver's own. */
  async command(text: string): Promise<string> {
    return (await this.connection.sql.unsafe(text)).command;
  }

  async executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    const running = new AbortController();
    this.running = running;
    try {
      // The parameters of a compiled query are whatever its author gave: what is no parameter is refused by the client.
      const given = parameters as Parameters<typeof this.connection.sql.unsafe>[1];
      const { signal } = running;
      const result = await this.connection.sql.unsafe<Row>(sql, given, { signal });
      const rows = [...result.rows];
      return changesRows(result.command)
        ? { rows, numAffectedRows: BigInt(result.rowCount) }
        : { rows };
    } finally {
      if (this.running === running) this.running = undefined;
    }
  }

  async *streamQuery<Row>(
    { sql, parameters }: CompiledQuery,
    chunkSize: number,
  ): AsyncIterableIterator<QueryResult<Row>> {
    const running = new AbortController();
    this.running = running;
    try {
      const given = parameters as Parameters<typeof this.connection.sql.unsafe>[1];
      const { signal } = running;
      let rows: Row[] = [];
      for await (const row of this.connection.sql.unsafeStream<Row>(sql, given, { signal })) {
        rows.push(row);
        if (rows.length < chunkSize) continue;
        yield { rows };
        rows = [];
      }
      if (rows.length > 0) yield { rows };
    } finally {
      if (this.running === running) this.running = undefined;
    }
  }

  /** Kysely calls it when the caller's signal says so, and the strategy is to cancel. */
  async cancelQuery(): Promise<void> {
    this.running?.abort();
  }

  async killSession(): Promise<void> {
    this.running?.abort();
    await this.connection.close();
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}

function ours(connection: DatabaseConnection): FlotillaConnection {
  if (connection instanceof FlotillaConnection) return connection;
  throw new Error('the connection was not made by this driver');
}

function run(connection: DatabaseConnection, text: string): Promise<string> {
  return ours(connection).command(text);
}

function changesRows(command: string): boolean {
  return /^(INSERT|UPDATE|DELETE|MERGE)\b/.test(command);
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
