/** Names of the built-in types, for sessions whose catalog gives none. */
import type { SystemNames } from './system-names.ts';
import { builtInTypes, typeByName, typeByOid } from './type.ts';

const byDisplay = new Map([...builtInTypes()].map((type) => [type.display, type.oid]));
const aliases: ReadonlyMap<string, string> = new Map([
  ['int', 'int4'],
  ['decimal', 'numeric'],
  ['float', 'float8'],
  ['time', 'time'],
  ['timestamp', 'timestamp'],
]);

/** `int[]`, `timestamp with time zone`, `pg_catalog.int4`. */
function typeOid(written: string): number | undefined {
  const name = written
    .toLowerCase()
    .replace(/\s+/g, ' ')
    .replace(/^pg_catalog\./, '');
  const array = name.endsWith('[]');
  const bare = (array ? name.slice(0, -2) : name).trim().replace(/\s*\(.*\)$/, '');
  const own = typeByName(aliases.get(bare) ?? bare)?.oid ?? byDisplay.get(bare);
  if (!array || own === undefined) return own;
  const type = typeByOid(own);
  return type === undefined || type.arrayOid === 0 ? undefined : type.arrayOid;
}

export const builtInNames: SystemNames = {
  nameOf: (kind, oid) => (kind === 'type' ? typeByOid(oid)?.display : undefined),
  oidOf: (kind, parts) => (kind === 'type' ? typeOid(parts.join('.')) : undefined),
};
