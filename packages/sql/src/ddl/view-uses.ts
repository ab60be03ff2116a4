/** Which views read a table, or a column of it. By the words of their queries: rather one too many than one too few. */
import type { ViewDescriptor } from '../catalog/descriptor.ts';
import { scanTokens } from '../parse/grammar.ts';
import type { DdlContext } from './ddl-context.ts';

/** @param column undefined: views that read the table at all */
export function viewsUsing(
  ddl: DdlContext,
  tableId: number,
  column: string | undefined,
): ViewDescriptor[] {
  return ddl.snapshot
    .sorted()
    .filter((one) => one.kind === 'view')
    .filter((view) => view.uses.includes(tableId))
    .filter((view) => column === undefined || mentions(view.query, column));
}

function mentions(query: string, name: string): boolean {
  return scanTokens(query).some(
    ({ text }) => text.toLowerCase() === name || text === `"${name.replaceAll('"', '""')}"`,
  );
}
