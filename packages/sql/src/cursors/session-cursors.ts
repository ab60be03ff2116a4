/**
 * The cursors of one session by name, and what becomes of them when transactions and savepoints end: those WITH HOLD outlive
 * the commit of the transaction they were made in, all others end with it. Bounded by `limits.ts`.
 */
import { cursorsMax } from '../limits.ts';
import type { TransactionScope } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { Cursor } from './cursor.ts';
import type { CursorFacts } from './cursor-facts.ts';

export interface NamedCursor extends CursorFacts {
  readonly cursor: Cursor;
  /** Ends the work of its query. */
  readonly stop: AbortController;
}

interface Entry {
  readonly named: NamedCursor;
  /** Of the transaction or savepoint that it was made in, as long as that is open. */
  scope: TransactionScope | undefined;
}

export class SessionCursors {
  private readonly entries = new Map<string, Entry>();

  /** Throws 34000. */
  get(name: string): NamedCursor {
    const found = this.find(name);
    if (found !== undefined) return found;
    throw new SqlError('34000', `cursor "${name}" does not exist`);
  }

  find(name: string): NamedCursor | undefined {
    this.sweep();
    return this.entries.get(name)?.named;
  }

  /** Throws 42P03, 53400. */
  checkFree(name: string): void {
    this.sweep();
    if (this.entries.has(name)) throw new SqlError('42P03', `cursor "${name}" already exists`);
    if (this.entries.size >= cursorsMax)
      throw new SqlError('53400', 'too many cursors in this session');
  }

  /** @param scope undefined: it is in no transaction. The name must be free. */
  add(named: NamedCursor, scope: TransactionScope | undefined): void {
    this.entries.set(named.name, { named, scope });
  }

  /** Throws 34000. */
  async close(name: string): Promise<void> {
    const { cursor } = this.get(name);
    this.entries.delete(name);
    await cursor.close();
  }

  async closeAll(): Promise<void> {
    const all = [...this.entries.values()];
    this.entries.clear();
    for (const { named } of all) await named.cursor.close();
  }

  /** The transaction that was open has been committed. */
  committed(): void {
    for (const [name, entry] of this.entries)
      if (entry.named.holds) entry.scope = undefined;
      else this.entries.delete(name);
  }

  *all(): Iterable<CursorFacts> {
    this.sweep();
    for (const { named } of this.entries.values()) yield named;
  }

  /** Forgets those whose transaction or savepoint was rolled back. Their queries have ended with it. */
  private sweep(): void {
    for (const [name, { scope }] of this.entries)
      if (scope?.ended === true) this.entries.delete(name);
  }
}
