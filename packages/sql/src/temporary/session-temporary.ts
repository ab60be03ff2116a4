/** One session's temporary objects: which schema they are in, and what becomes of them. */
import type { TableStore } from '../storage/table-store.ts';
import type { TemporaryClaim, TemporarySchemas } from './temporary-schemas.ts';

export class SessionTemporary {
  private readonly schemas: TemporarySchemas;
  private claimed: TemporaryClaim | undefined;
  private claiming: Promise<TemporaryClaim> | undefined;

  constructor(schemas: TemporarySchemas) {
    this.schemas = schemas;
  }

  /** Undefined: the session has made none so far. It may be gone again. */
  get schema(): string | undefined {
    return this.claimed?.name;
  }

  /** The session is to have temporary objects. Throws DbError. */
  async claim(): Promise<TemporaryClaim> {
    if (this.claimed !== undefined) return this.claimed;
    this.claiming ??= this.schemas.claim().finally(() => {
      this.claiming = undefined;
    });
    this.claimed = await this.claiming;
    return this.claimed;
  }

  /** A statement by itself has written to these tables: ON COMMIT DELETE ROWS. Throws DbError. */
  async committed(stores: readonly TableStore[]): Promise<void> {
    for (const { table } of stores)
      if (table.onCommit === 'delete') await this.schemas.empty(table);
  }

  /** DISCARD TEMP. Throws DbError. */
  async discard(): Promise<void> {
    if (this.claimed !== undefined) await this.schemas.drop(this.claimed.name, false);
  }

  close(): void {
    const { claimed } = this;
    this.claimed = undefined;
    if (claimed !== undefined) this.schemas.release(claimed);
  }
}
