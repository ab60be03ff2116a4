/** Schemas of temporary objects: one for each session that has any, named so that nobody else's leads to it. */

/** What people call their own one, whichever it is. */
export const temporaryAlias = 'pg_temp';

export function temporarySchemaName(id: number): string {
  return `pg_temp_${id}`;
}

export function isTemporarySchema(name: string | undefined): boolean {
  return name !== undefined && /^pg_temp_\d+$/.test(name);
}

/** The session's own, which stands first in its search path where there is one. */
export function temporarySchemaOf(searchPath: readonly string[]): string | undefined {
  const [first] = searchPath;
  return isTemporarySchema(first) ? first : undefined;
}
