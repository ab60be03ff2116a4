/** What pg_cursors shows. */
export interface CursorFacts {
  readonly name: string;
  readonly statement: string;
  readonly holds: boolean;
  readonly binary: boolean;
  readonly scrolls: boolean;
  /** Microseconds since 2000. */
  readonly createdAt: bigint;
}
