/** Dotted names in text, as casts to regclass and the like read them: folded to lower case unless quoted. */
import { SqlError } from '../sql-error.ts';

/** Throws 42602. */
export function parseQualifiedName(text: string): string[] {
  const parts: string[] = [];
  const pattern = /\s*(?:"((?:[^"]|"")+)"|([^\s".]+))\s*(\.|$)/y;
  let more = true;
  while (more) {
    const match = pattern.exec(text);
    if (match === null) throw new SqlError('42602', 'invalid name syntax');
    parts.push(match[1]?.replaceAll('""', '"') ?? match[2]?.toLowerCase() ?? '');
    more = match[3] === '.';
  }
  return parts;
}
