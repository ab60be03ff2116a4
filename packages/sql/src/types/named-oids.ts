/** regclass and its like: oids whose text is a name. Names come from the catalog, through the context. */
import { SqlError } from '../sql-error.ts';
import type { TypeCodec } from './codec.ts';
import { splitIdentifier } from './identifier.ts';
import { oidCodec } from './integers.ts';
import type { NamedKind } from './system-names.ts';

const missing: Readonly<Record<NamedKind, readonly [string, string]>> = {
  class: ['42P01', 'relation'],
  type: ['42704', 'type'],
  procedure: ['42883', 'function'],
  namespace: ['3F000', 'schema'],
  role: ['42704', 'role'],
  operator: ['42883', 'operator'],
  collation: ['42704', 'collation'],
};

/** Throws 42P01, 42704, 42883, 3F000, 42602. */
export function namedOidCodec(kind: NamedKind): TypeCodec {
  return {
    ...oidCodec,
    parse: (text, context) => {
      const trimmed = text.trim();
      if (trimmed === '-') return 0;
      if (/^\d+$/.test(trimmed)) return oidCodec.parse(trimmed, context, 'oid');
      const parts = kind === 'operator' || kind === 'type' ? [trimmed] : splitIdentifier(trimmed);
      if (parts === undefined) throw new SqlError('42602', 'invalid name syntax');
      const oid = context.names?.oidOf(kind, parts);
      if (oid !== undefined) return oid;
      const [code, what] = missing[kind];
      throw new SqlError(code, `${what} "${parts.join('.')}" does not exist`);
    },
    format: (value, context) => {
      if (value === 0) return '-';
      return context.names?.nameOf(kind, value as number) ?? String(value);
    },
    sessionText: true,
  };
}
