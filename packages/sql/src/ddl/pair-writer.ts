/**
 * Pairs of new storage whose keys must be absent: what cannot be is told in the words of an index. They leave memory as they
 * come. Called by apply-work.ts and fill-table.ts.
 */
import { DbError } from '@flotilla/base';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import type { Row } from '../execute/evaluate.ts';
import { SqlError } from '../sql-error.ts';
import type { DdlContext } from './ddl-context.ts';

/** A row whose key another row has already. */
export interface Duplicate {
  /** The name of the index that would have both. */
  readonly index: string;
  /** `(a, b)=(1, 2)`. */
  readonly key: string;
  readonly table: TableDescriptor;
  readonly row: Row;
}

/** @param earlier the row that came first; undefined: it has left memory */
export type RefuseDuplicate = (duplicate: Duplicate, earlier: Row | undefined) => SqlError;

export class PairWriter {
  private readonly ddl: DdlContext;
  private readonly refuse: RefuseDuplicate;
  /** What is not known to be alone, by key. */
  private pairs = new Map<string, () => Duplicate>();

  constructor(ddl: DdlContext, refuse: RefuseDuplicate = notUnique) {
    this.ddl = ddl;
    this.refuse = refuse;
  }

  /** Throws what `refuse` gives, DbError. */
  add(key: Uint8Array, value: Uint8Array, twice: () => Duplicate): void {
    try {
      this.ddl.options.transaction.insert(key, value);
    } catch (error) {
      if (!isTaken(error)) throw error;
      throw this.refuse(twice(), this.pairs.get(textOf(key))?.().row);
    }
    this.pairs.set(textOf(key), twice);
  }

  /** Some leave memory if they are many. Errors: as `add`. */
  async relieve(): Promise<void> {
    const { claims, transaction, run } = this.ddl.options;
    await this.leave(() => claims.relieve(transaction, run.pace.signal));
  }

  /** There are no more. Errors: as `add`. */
  async end(): Promise<void> {
    const { claims, transaction, run } = this.ddl.options;
    await this.leave(() => claims.finish(transaction, run.pace.signal));
  }

  /** There are no more, and all of them leave memory, few as they may be. Errors: as `add`. */
  async flush(): Promise<void> {
    const { claims, transaction, run } = this.ddl.options;
    await this.leave(() => claims.flush(transaction, run.pace.signal));
  }

  private async leave(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isTaken(error) || error.key === undefined) throw error;
      const found = this.pairs.get(textOf(error.key));
      throw found === undefined ? error : this.refuse(found(), undefined);
    }
    if (this.ddl.options.transaction.claimedBytes === 0) this.pairs.clear();
  }
}

function textOf(key: Uint8Array): string {
  return Buffer.from(key).toString('latin1');
}

function isTaken(error: unknown): error is DbError {
  return error instanceof DbError && error.code === 'KEY_EXISTS';
}

function notUnique({ index, key, table }: Duplicate): SqlError {
  return new SqlError('23505', `could not create unique index "${index}"`, {
    detail: `Key ${key} is duplicated.`,
    schema: table.schema,
    table: table.name,
    constraint: index,
  });
}
