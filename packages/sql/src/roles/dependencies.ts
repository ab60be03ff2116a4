/** Where the catalog names a role: what keeps it from being dropped, and what follows when it is renamed. */
import { type Acl, aclNames, aclRenamed } from '../catalog/acl.ts';
import type { CatalogEditor } from '../catalog/editor.ts';
import { wordOf } from '../catalog/relation-word.ts';
import { type CatalogSnapshot, databasesIn } from '../catalog/snapshot.ts';

/** One line for each, in PostgreSQL's words; of other databases only how many. */
export function dependenciesOf(snapshot: CatalogSnapshot, role: string): string[] {
  const lines = usesWithin(snapshot, role);
  for (const database of snapshot.databases.values())
    if (database.owner === role) lines.push(`owner of database ${database.name}`);
    else if (aclNames(database.acl, role)) lines.push(`privileges for database ${database.name}`);
  for (const other of snapshot.everywhere()) {
    const count = other === snapshot ? 0 : usesWithin(other, role).length;
    const objects = count === 1 ? 'object' : 'objects';
    if (count > 0) lines.push(`${count} ${objects} in database ${other.database.name}`);
  }
  return lines;
}

function usesWithin(snapshot: CatalogSnapshot, role: string): string[] {
  const lines: string[] = [];
  const add = (what: string, owner: string | undefined, acls: readonly (Acl | undefined)[]) => {
    if (owner === role) lines.push(`owner of ${what}`);
    else if (acls.some((acl) => aclNames(acl, role))) lines.push(`privileges for ${what}`);
  };
  for (const one of snapshot.database.defaults ?? [])
    if (one.role === role || aclNames(one.acl, role))
      lines.push(`default privileges for new ${one.kind}s of role ${one.role}`);
  for (const schema of snapshot.schemas.values())
    add(`schema ${schema.name}`, schema.owner, [schema.acl]);
  for (const type of snapshot.types()) add(`type ${type.name}`, type.owner, []);
  for (const relation of snapshot.sorted())
    add(`${wordOf(relation)} ${relation.name}`, relation.owner, [
      relation.acl,
      ...Object.values(relation.columnAcls ?? {}),
    ]);
  return lines;
}

export function renameEverywhere(editor: CatalogEditor, from: string, to: string): void {
  const named = (name: string): string => (name === from ? to : name);
  const renamed = (acl: Acl | undefined): { readonly acl?: Acl } =>
    acl === undefined ? {} : { acl: aclRenamed(acl, from, to) };
  for (const database of databasesIn(editor.snapshot.contents))
    editor.within(database, () => renameWithin(editor, from, to));
  for (const database of editor.snapshot.databases.values())
    if (database.owner === from || aclNames(database.acl, from) || database.defaults !== undefined)
      editor.putAccess({
        ...database,
        owner: named(database.owner),
        ...renamed(database.acl),
        defaults: (database.defaults ?? []).map((one) => ({
          ...one,
          role: named(one.role),
          acl: aclRenamed(one.acl, from, to),
        })),
      });
  for (const role of editor.snapshot.roles.values())
    if (role.memberOf.some((one) => one.role === from || one.grantor === from))
      editor.putAccess({
        ...role,
        memberOf: role.memberOf.map((one) => ({
          ...one,
          role: named(one.role),
          grantor: named(one.grantor),
        })),
      });
}

function renameWithin(editor: CatalogEditor, from: string, to: string): void {
  const named = (name: string): string => (name === from ? to : name);
  const renamed = (acl: Acl | undefined): { readonly acl?: Acl } =>
    acl === undefined ? {} : { acl: aclRenamed(acl, from, to) };
  for (const schema of editor.snapshot.schemas.values())
    if (schema.owner === from || aclNames(schema.acl, from))
      editor.putSchema({ ...schema, owner: named(schema.owner), ...renamed(schema.acl) });
  for (const relation of editor.snapshot.sorted()) {
    const columns = Object.entries(relation.columnAcls ?? {});
    if (
      relation.owner !== from &&
      !aclNames(relation.acl, from) &&
      !columns.some(([, acl]) => aclNames(acl, from))
    )
      continue;
    editor.put({
      ...relation,
      owner: named(relation.owner),
      ...renamed(relation.acl),
      columnAcls: Object.fromEntries(
        columns.map(([number, acl]) => [number, aclRenamed(acl, from, to)]),
      ),
    });
  }
  for (const type of editor.snapshot.types())
    if (type.owner === from) editor.putType({ ...type, owner: to });
}
