/** The prepared statements of one session by name, bounded by `limits.ts`. */
import { namedStatementBytesMax, namedStatementsMax } from './limits.ts';
import type { NamedStatement, NamedStatements, Oid } from './session-api.ts';
import { SqlError } from './sql-error.ts';

/** What pg_prepared_statements shows. */
export interface PreparedFacts {
  readonly name: string;
  readonly statement: string;
  readonly parameterTypes: readonly Oid[];
  readonly fromSql: boolean;
  /** Microseconds since 2000. */
  readonly createdAt: bigint;
}

interface Entry {
  readonly statement: NamedStatement;
  readonly createdAt: bigint;
}

export class SessionStatements implements NamedStatements {
  private readonly entries = new Map<string, Entry>();
  private readonly now: () => bigint;
  private bytes = 0;

  /** @param now in microseconds since 2000 */
  constructor(now: () => bigint = () => 0n) {
    this.now = now;
  }

  get size(): number {
    return this.entries.size;
  }

  get retainedBytes(): number {
    return this.bytes;
  }

  get(name: string): NamedStatement {
    const entry = this.entries.get(name);
    if (entry !== undefined) return entry.statement;
    throw new SqlError('26000', `prepared statement "${name}" does not exist`);
  }

  checkFree(name: string): void {
    if (this.entries.has(name))
      throw new SqlError('42P05', `prepared statement "${name}" already exists`);
  }

  add(name: string, statement: NamedStatement): void {
    this.checkFree(name);
    const bytes = this.bytes + statement.retainedBytes;
    if (this.size >= namedStatementsMax || (this.size > 0 && bytes > namedStatementBytesMax))
      throw new SqlError('53400', 'too many prepared statements in this session');
    this.entries.set(name, { statement, createdAt: this.now() });
    this.bytes = bytes;
  }

  delete(name: string): void {
    const entry = this.entries.get(name);
    if (entry === undefined) return;
    this.bytes -= entry.statement.retainedBytes;
    this.entries.delete(name);
  }

  *all(): Iterable<PreparedFacts> {
    for (const [name, { statement, createdAt }] of this.entries)
      yield {
        ...{ name, createdAt },
        statement: statement.text,
        parameterTypes: statement.prepared?.parameterTypes ?? [],
        fromSql: statement.fromSql === true,
      };
  }

  clear(): void {
    this.entries.clear();
    this.bytes = 0;
  }
}
