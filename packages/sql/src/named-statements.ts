/**
 * The prepared statements of one session by name: those of PREPARE and those of the wire protocol, which are the same to
 * a user. Bounded by `limits.ts`; the protocol's unnamed statement is not among them.
 */
import { namedStatementBytesMax, namedStatementsMax } from './limits.ts';
import type { PreparedStatement } from './session-api.ts';
import { SqlError } from './sql-error.ts';

export interface NamedStatement {
  /** Undefined for an empty source text. */
  readonly prepared: PreparedStatement | undefined;
  /** Of the source text. */
  readonly retainedBytes: number;
}

export class NamedStatements {
  private readonly entries = new Map<string, NamedStatement>();
  private bytes = 0;

  get size(): number {
    return this.entries.size;
  }

  /** Of all source texts. */
  get retainedBytes(): number {
    return this.bytes;
  }

  /** Throws 26000. */
  get(name: string): NamedStatement {
    const statement = this.entries.get(name);
    if (statement !== undefined) return statement;
    throw new SqlError('26000', `prepared statement "${name}" does not exist`);
  }

  /** Throws 42P05: a statement is not replaced. */
  checkFree(name: string): void {
    if (this.entries.has(name))
      throw new SqlError('42P05', `prepared statement "${name}" already exists`);
  }

  /** Throws 42P05, 53400. */
  add(name: string, statement: NamedStatement): void {
    this.checkFree(name);
    const bytes = this.bytes + statement.retainedBytes;
    if (this.size >= namedStatementsMax || (this.size > 0 && bytes > namedStatementBytesMax))
      throw new SqlError('53400', 'too many prepared statements in this session');
    this.entries.set(name, statement);
    this.bytes = bytes;
  }

  /** @returns whether there was one */
  delete(name: string): boolean {
    const statement = this.entries.get(name);
    if (statement === undefined) return false;
    this.bytes -= statement.retainedBytes;
    return this.entries.delete(name);
  }

  clear(): void {
    this.entries.clear();
    this.bytes = 0;
  }
}
