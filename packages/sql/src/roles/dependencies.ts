/** Where the catalog names a role: what keeps it from being dropped, and what follows when it is renamed. */
import type { CatalogEditor } from '../catalog/editor.ts';
import type { CatalogSnapshot } from '../catalog/snapshot.ts';

/** One line for each, in PostgreSQL's words. */
export function dependenciesOf(snapshot: CatalogSnapshot, role: string): string[] {
  const lines: string[] = [];
  for (const schema of snapshot.schemas.values())
    if (schema.owner === role) lines.push(`owner of schema ${schema.name}`);
  for (const relation of snapshot.sorted())
    if (relation.owner === role) lines.push(`owner of ${relation.kind} ${relation.name}`);
  return lines;
}

export function renameEverywhere(editor: CatalogEditor, from: string, to: string): void {
  for (const schema of editor.snapshot.schemas.values())
    if (schema.owner === from) editor.putSchema({ ...schema, owner: to });
  for (const relation of editor.snapshot.sorted())
    if (relation.owner === from) editor.put({ ...relation, owner: to });
  for (const role of editor.snapshot.roles.values())
    if (role.memberOf.some((one) => one.role === from || one.grantor === from))
      editor.putAccess({
        ...role,
        memberOf: role.memberOf.map((one) => ({
          ...one,
          role: one.role === from ? to : one.role,
          grantor: one.grantor === from ? to : one.grantor,
        })),
      });
}
