/** Which views read a table, or a column of it. By the words of their queries: rather one too many than one too few. */
import type { RelationDescriptor } from '../catalog/descriptor.ts';
import { storedQueryOf } from '../catalog/relation-word.ts';
import { scanTokens } from '../parse/grammar.ts';
import type { DdlContext } from './ddl-context.ts';

/** @param column undefined: views, materialized ones among them, that read the table at all */
export function viewsUsing(
  ddl: DdlContext,
  tableId: number,
  column: string | undefined,
): RelationDescriptor[] {
  return ddl.snapshot.sorted().filter((one) => {
    const stored = storedQueryOf(one);
    if (stored?.uses.includes(tableId) !== true) return false;
    return column === undefined || mentions(stored.query, column);
  });
}

/** These views and those over them, each behind what it reads. `over` undefined: it was given. */
export function withViewsOver(
  ddl: DdlContext,
  views: readonly RelationDescriptor[],
): { readonly view: RelationDescriptor; readonly over: RelationDescriptor | undefined }[] {
  const seen = new Set(views.map(({ id }) => id));
  const found: ReturnType<typeof withViewsOver> = [];
  const reach = (over: RelationDescriptor): void => {
    for (const view of viewsUsing(ddl, over.id, undefined)) {
      if (seen.has(view.id)) continue;
      seen.add(view.id);
      found.push({ view, over });
      reach(view);
    }
  };
  for (const view of views) {
    found.push({ view, over: undefined });
    reach(view);
  }
  return found;
}

function mentions(query: string, name: string): boolean {
  return scanTokens(query).some(
    ({ text }) => text.toLowerCase() === name || text === `"${name.replaceAll('"', '""')}"`,
  );
}
