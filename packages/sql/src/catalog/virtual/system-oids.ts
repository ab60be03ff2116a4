/** Oids of what is not stored: roles, array types and defaults, derived so that they are the same in every process. */
import { crc32 } from 'node:zlib';
import type { ColumnDescriptor, TableDescriptor } from '../descriptor.ts';
import type { CatalogSnapshot } from '../snapshot.ts';

export const bootstrapRoleOid: number = 10;
/** Derived oids lie above everything that is given out: ids have 29 bits. */
const derivedFrom = 0x6000_0000;

/** Derived for the name of a session that was let in unasked, and of what such a session owns. */
export function roleOid(snapshot: CatalogSnapshot, name: string): number {
  return snapshot.roles.get(name)?.id ?? derivedFrom + (crc32(name) & 0x0fff_ffff);
}

/** Every role, the user, and whoever owns something. */
export function roleNames(snapshot: CatalogSnapshot, user: string): string[] {
  const owners = [
    ...snapshot.relations.values(),
    ...snapshot.types(),
    ...snapshot.schemas.values(),
    ...snapshot.databases.values(),
  ].map((one) => one.owner);
  return [...new Set([...snapshot.roles.keys(), user, ...owners])];
}

/** pg_attrdef.oid. */
export function defaultOid(table: TableDescriptor, column: ColumnDescriptor): number {
  return 0x7000_0000 + (crc32(`${table.id}/${column.attributeNumber}`) & 0x0fff_ffff);
}

export function schemaOid(snapshot: CatalogSnapshot, name: string): number {
  return snapshot.schemas.get(name)?.id ?? 0;
}

export function ownerOid(snapshot: CatalogSnapshot, relation: { readonly owner: string }): number {
  return roleOid(snapshot, relation.owner);
}
