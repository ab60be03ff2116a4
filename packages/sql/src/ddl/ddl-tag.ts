/** The command tag of a DDL statement, for messages that name the statement before it runs. */
import type { Node } from 'libpg-query';
import { describeKind, kindOf } from '../bind/ast.ts';

export function ddlTag(tree: Node): string {
  if ('CreateStmt' in tree) return 'CREATE TABLE';
  if ('CreateTableAsStmt' in tree)
    return tree.CreateTableAsStmt.objtype === 'OBJECT_MATVIEW'
      ? 'CREATE MATERIALIZED VIEW'
      : 'CREATE TABLE AS';
  if ('RefreshMatViewStmt' in tree) return 'REFRESH MATERIALIZED VIEW';
  if ('DropStmt' in tree) return `DROP ${objectWord(tree.DropStmt.removeType)}`;
  if ('TruncateStmt' in tree) return 'TRUNCATE TABLE';
  if ('IndexStmt' in tree) return 'CREATE INDEX';
  if ('ViewStmt' in tree) return 'CREATE VIEW';
  if ('CreateSeqStmt' in tree) return 'CREATE SEQUENCE';
  if ('CreateSchemaStmt' in tree) return 'CREATE SCHEMA';
  if ('AlterTableStmt' in tree) return `ALTER ${objectWord(tree.AlterTableStmt.objtype)}`;
  if ('RenameStmt' in tree) {
    const { renameType, relationType } = tree.RenameStmt;
    if (renameType === 'OBJECT_TABCONSTRAINT') return 'ALTER TABLE';
    if (renameType === 'OBJECT_DOMCONSTRAINT') return 'ALTER DOMAIN';
    return `ALTER ${objectWord(renameType === 'OBJECT_COLUMN' ? relationType : renameType)}`;
  }
  if ('AlterObjectSchemaStmt' in tree)
    return `ALTER ${objectWord(tree.AlterObjectSchemaStmt.objectType)}`;
  if ('AlterSeqStmt' in tree) return 'ALTER SEQUENCE';
  if ('CreateEnumStmt' in tree) return 'CREATE TYPE';
  if ('AlterEnumStmt' in tree) return 'ALTER TYPE';
  if ('CreateDomainStmt' in tree) return 'CREATE DOMAIN';
  if ('AlterDomainStmt' in tree) return 'ALTER DOMAIN';
  if ('CommentStmt' in tree) return 'COMMENT';
  if ('GrantStmt' in tree) return tree.GrantStmt.is_grant === true ? 'GRANT' : 'REVOKE';
  if ('AlterDefaultPrivilegesStmt' in tree) return 'ALTER DEFAULT PRIVILEGES';
  if ('AlterOwnerStmt' in tree) return `ALTER ${objectWord(tree.AlterOwnerStmt.objectType)}`;
  if ('ReassignOwnedStmt' in tree) return 'REASSIGN OWNED';
  if ('DropOwnedStmt' in tree) return 'DROP OWNED';
  if ('CreateRoleStmt' in tree) return 'CREATE ROLE';
  if ('AlterRoleStmt' in tree || 'AlterRoleSetStmt' in tree) return 'ALTER ROLE';
  if ('DropRoleStmt' in tree) return 'DROP ROLE';
  if ('GrantRoleStmt' in tree)
    return tree.GrantRoleStmt.is_grant === true ? 'GRANT ROLE' : 'REVOKE ROLE';
  if ('CreatedbStmt' in tree) return 'CREATE DATABASE';
  if ('DropdbStmt' in tree) return 'DROP DATABASE';
  if ('AlterDatabaseStmt' in tree || 'AlterDatabaseSetStmt' in tree) return 'ALTER DATABASE';
  return describeKind(kindOf(tree));
}

/** As tags have the kind of an object. @param type as the grammar has it: `OBJECT_TABLE` */
export function objectWord(type: string | undefined): string {
  if (type === 'OBJECT_MATVIEW') return 'MATERIALIZED VIEW';
  return (type ?? '').replace('OBJECT_', '').replaceAll('_', ' ');
}
