/** Names and oids for casts to and from regclass, regtype, regnamespace, regrole, regproc: over one statement's names. */
import { builtInNames } from '../types/built-in-names.ts';
import { quoteIdentifier, splitIdentifier } from '../types/identifier.ts';
import type { SystemNames } from '../types/system-names.ts';
import { allIndexes, shownRelation } from './definitions.ts';
import type { NameResolver } from './name-resolver.ts';
import { systemShapes } from './virtual/layout.ts';
import { roleNames, roleOid } from './virtual/system-oids.ts';
import { arrayInput } from './virtual/types.ts';

const systemByOid = new Map(systemShapes.map((shape) => [shape.oid, shape]));
const procedures: ReadonlyMap<string, number> = new Map([['array_in', arrayInput]]);

/** @param names as they are when a name is asked for */
export function sessionNames(names: () => NameResolver, user: string): SystemNames {
  return {
    nameOf(kind, oid) {
      const { snapshot } = names();
      switch (kind) {
        case 'class': {
          const found = snapshot.relations.get(oid) ?? systemByOid.get(oid);
          if (found !== undefined) return shownRelation(found, names());
          const index = indexOf(names(), oid);
          if (index === undefined) return undefined;
          const own = quoteIdentifier(index.name);
          const visible = names().path.includes(index.schema);
          return visible ? own : `${quoteIdentifier(index.schema)}.${own}`;
        }
        case 'namespace': {
          const found = [...snapshot.schemas.values()].find((schema) => schema.id === oid);
          return found === undefined ? undefined : quoteIdentifier(found.name);
        }
        case 'role': {
          const found = roleNames(snapshot, user).find((name) => roleOid(snapshot, name) === oid);
          return found === undefined ? undefined : quoteIdentifier(found);
        }
        case 'procedure':
          return [...procedures].find(([, own]) => own === oid)?.[0];
        default:
          return builtInNames.nameOf(kind, oid) ?? userTypeText(names(), oid);
      }
    },
    oidOf(kind, parts) {
      const { snapshot } = names();
      const [name = '', schema] = [...parts].reverse();
      switch (kind) {
        case 'class':
          return relationOid(names(), schema, name);
        case 'namespace':
          return snapshot.schemas.get(name)?.id;
        case 'role':
          return roleNames(snapshot, user).includes(name) ? roleOid(snapshot, name) : undefined;
        case 'procedure':
          return procedures.get(name);
        default:
          return builtInNames.oidOf(kind, parts) ?? userTypeOid(names(), parts.join('.'));
      }
    },
  };
}

/** A type that a user made, quoted, with its schema where the path does not lead to it. */
export function userTypeText(names: NameResolver, oid: number): string | undefined {
  const type = names.snapshot.typeByOid(oid);
  const descriptor = type === undefined ? undefined : names.snapshot.descriptorOf(type);
  if (type === undefined || descriptor === undefined) return undefined;
  const own = quoteIdentifier(descriptor.name);
  const visible = names.findType(undefined, type.name) === type;
  const shown = visible ? own : `${quoteIdentifier(descriptor.schema)}.${own}`;
  return type.element === undefined ? shown : `${shown}[]`;
}

/** `app.mood`, `mood[]`. */
function userTypeOid(names: NameResolver, written: string): number | undefined {
  const isArray = /\[\s*\]\s*$/.test(written);
  const parts = splitIdentifier(written.replace(/(\[\s*\]\s*)+$/, ''));
  const [name = '', schema] = [...(parts ?? [])].reverse();
  const type = names.findType(schema, name);
  return isArray ? type?.arrayOid : type?.oid;
}

/** Of a relation or an index. */
export function relationOid(
  names: NameResolver,
  schema: string | undefined,
  name: string,
): number | undefined {
  const found = names.find(schema, name);
  if (found !== undefined) return found.kind === 'virtual' ? found.oid : found.id;
  for (const one of schema === undefined ? names.path : [schema]) {
    const index = names.snapshot.findIndex(one, name);
    if (index !== undefined) return index.index?.oid ?? index.primaryKey?.indexOid;
  }
  return undefined;
}

function indexOf(names: NameResolver, oid: number) {
  for (const table of names.snapshot.tables()) {
    const index = allIndexes(table).find((one) => one.oid === oid);
    if (index !== undefined) return { schema: table.schema, name: index.name };
  }
  return undefined;
}
