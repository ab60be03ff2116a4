/**
 * What Drizzle's own drivers use and its declarations leave out: every driver outside of its package needs it. Named here,
 * and nowhere else, so that a version that has changed it is refused with a sentence and not with a riddle.
 */
import type { SelectedFieldsOrdered } from 'drizzle-orm/pg-core/query-builders/select.types';
import * as utils from 'drizzle-orm/utils';

export type MapResultRow = (
  fields: SelectedFieldsOrdered,
  row: readonly unknown[],
  joinsNotNullable: Record<string, boolean> | undefined,
) => unknown;

export const mapResultRow: MapResultRow = required(
  (utils as unknown as { readonly mapResultRow?: MapResultRow }).mapResultRow,
  'mapResultRow',
);

/** Members of a prepared query that its declaration leaves out. */
interface PreparedInternals {
  readonly joinsNotNullableMap?: Record<string, boolean>;
  readonly queryWithCache?: <Result>(
    text: string,
    parameters: unknown[],
    query: () => Promise<Result>,
  ) => Promise<Result>;
}

export function joinsNotNullable(query: object): Record<string, boolean> | undefined {
  return (query as PreparedInternals).joinsNotNullableMap;
}

/** Runs `run`, or answers from the cache that the user gave. @throws DrizzleQueryError with the error of `run` as `cause` */
export function queryWithCache<Result>(
  query: object,
  statement: { readonly text: string; readonly parameters: unknown[] },
  run: () => Promise<Result>,
): Promise<Result> {
  const own: PreparedInternals = query;
  required(own.queryWithCache, 'PgPreparedQuery.queryWithCache');
  return (own as Required<Pick<PreparedInternals, 'queryWithCache'>>).queryWithCache(
    statement.text,
    statement.parameters,
    run,
  );
}

function required<Thing>(thing: Thing | undefined, name: string): Thing {
  if (thing === undefined)
    throw new Error(
      `this version of drizzle-orm has no ${name}: use one that @flotilla/drizzle names`,
    );
  return thing;
}
