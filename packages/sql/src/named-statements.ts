/** The prepared statements of one session by name, bounded by `limits.ts`. */
import { namedStatementBytesMax, namedStatementsMax } from './limits.ts';
import type { NamedStatement, NamedStatements } from './session-api.ts';
import { SqlError } from './sql-error.ts';

export class SessionStatements implements NamedStatements {
  private readonly entries = new Map<string, NamedStatement>();
  private bytes = 0;

  get size(): number {
    return this.entries.size;
  }

  get retainedBytes(): number {
    return this.bytes;
  }

  get(name: string): NamedStatement {
    const statement = this.entries.get(name);
    if (statement !== undefined) return statement;
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
    this.entries.set(name, statement);
    this.bytes = bytes;
  }

  delete(name: string): void {
    const statement = this.entries.get(name);
    if (statement === undefined) return;
    this.bytes -= statement.retainedBytes;
    this.entries.delete(name);
  }

  clear(): void {
    this.entries.clear();
    this.bytes = 0;
  }
}
