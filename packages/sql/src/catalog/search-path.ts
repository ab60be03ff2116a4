/** search_path: from the setting's text to the schemas that names without a schema are looked up in. */
import { type CatalogSnapshot, catalogSchema } from './snapshot.ts';
import { isTemporarySchema, temporarySchemaOf } from './temporary-schema.ts';

/** The names in a setting: `"$user", public`, quoted where they need it. */
export function parseSearchPath(setting: string, user: string): string[] {
  const names: string[] = [];
  for (const match of setting.matchAll(/\s*(?:"((?:[^"]|"")*)"|([^",\s]+))\s*(?:,|$)/g)) {
    const name = match[1]?.replaceAll('""', '"') ?? match[2]?.toLowerCase() ?? '';
    names.push(name === '$user' ? user : name);
  }
  return names;
}

/**
 * The schemas of the path that there are, each once, in order.
 * @param path a session's own temporary schema stands first in it
 * @param implicit with that schema in front, and pg_catalog where the path does not name it
 */
export function effectivePath(
  snapshot: CatalogSnapshot,
  path: readonly string[],
  implicit: boolean,
): string[] {
  const there = [...new Set(path)].filter(
    (name) => snapshot.schemas.has(name) && !isTemporarySchema(name),
  );
  if (!implicit) return there;
  const own = temporarySchemaOf(path);
  const all = there.includes(catalogSchema) ? there : [catalogSchema, ...there];
  return own !== undefined && snapshot.schemas.has(own) ? [own, ...all] : all;
}
