/** pg_extension and pg_available_extensions: what is built in that PostgreSQL has as extensions. */
import type { RowsOf, SystemRow } from './layout.ts';
import { bootstrapRoleOid } from './system-oids.ts';

export const installedExtensions: readonly {
  readonly oid: number;
  readonly name: string;
  readonly version: string;
  readonly schemaOid: number;
  readonly comment: string;
}[] = [
  {
    oid: 13_569,
    name: 'plpgsql',
    version: '1.0',
    schemaOid: 11,
    comment: 'PL/pgSQL procedural language',
  },
  {
    oid: 13_570,
    name: 'pgcrypto',
    version: '1.3',
    schemaOid: 11,
    comment: 'cryptographic functions',
  },
  {
    oid: 13_571,
    name: 'uuid-ossp',
    version: '1.1',
    schemaOid: 11,
    comment: 'generate universally unique identifiers (UUIDs)',
  },
];

function* extensions(): Iterable<SystemRow> {
  for (const { oid, name, version, schemaOid } of installedExtensions)
    yield {
      oid,
      extname: name,
      extowner: bootstrapRoleOid,
      extnamespace: schemaOid,
      extrelocatable: false,
      extversion: version,
    };
}

function* available(): Iterable<SystemRow> {
  for (const { name, version, comment } of installedExtensions)
    yield { name, default_version: version, installed_version: version, comment };
}

export const extensionTables: Readonly<Record<string, RowsOf>> = {
  pg_extension: extensions,
  pg_available_extensions: available,
};
