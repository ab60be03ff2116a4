/** The privileges on an object of the catalog as they are in force: what was granted, or the default of its kind. */
import { type Acl, defaultAcl } from './acl.ts';
import type { RelationDescriptor, SchemaDescriptor } from './descriptor.ts';
import type { DatabaseDescriptor } from './role.ts';

export function aclOf(relation: RelationDescriptor): Acl {
  return relation.acl ?? defaultAcl(relation.kind, relation.owner);
}

export function schemaAclOf(schema: SchemaDescriptor): Acl {
  return schema.acl ?? defaultAcl('schema', schema.owner);
}

export function databaseAclOf(database: DatabaseDescriptor): Acl {
  return database.acl ?? defaultAcl('database', database.owner);
}
