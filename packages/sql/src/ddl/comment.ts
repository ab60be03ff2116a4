/** COMMENT ON. */
import type { CommentStmt } from 'libpg-query';
import { describeKind, listItems, nameParts } from '../bind/ast.ts';
import { SqlError } from '../sql-error.ts';
import { type DdlContext, missingRelation } from './ddl-context.ts';
import { findType, requireTypeOwner, typeNameParts } from './types.ts';

export async function comment(ddl: DdlContext, statement: CommentStmt): Promise<string> {
  const { objtype = '', object, comment: given } = statement;
  const text = given === undefined || given === '' ? undefined : given;
  const parts = objtype === 'OBJECT_TYPE' ? [] : nameParts(listItems(object));
  switch (objtype) {
    case 'OBJECT_TABLE':
    case 'OBJECT_VIEW':
    case 'OBJECT_SEQUENCE': {
      const [name = '', schema] = [...parts].reverse();
      const found = ddl.find(schema, name);
      if (found === undefined) throw missingRelation(ddl, schema, name, 'relation');
      const word = objtype.replace('OBJECT_', '').toLowerCase();
      if (found.kind !== word) throw new SqlError('42809', `"${name}" is not a ${word}`);
      ddl.requireOwner(found);
      ddl.editor.put({ ...found, comments: withComment(found.comments, 0, text) });
      return 'COMMENT';
    }
    case 'OBJECT_COLUMN': {
      const [column = '', name = '', schema] = [...parts].reverse();
      const found = ddl.find(schema, name);
      if (found === undefined) throw missingRelation(ddl, schema, name, 'relation');
      const number =
        found.kind === 'table'
          ? (found.columns.find((one) => one.name === column)?.attributeNumber ?? 0)
          : found.kind === 'view'
            ? found.columns.findIndex((one) => one.name === column) + 1
            : 0;
      if (number === 0)
        throw new SqlError('42703', `column "${column}" of relation "${name}" does not exist`);
      ddl.requireOwner(found);
      ddl.editor.put({ ...found, comments: withComment(found.comments, number, text) });
      return 'COMMENT';
    }
    case 'OBJECT_SCHEMA': {
      const [name = ''] = parts;
      const schema = ddl.snapshot.schemas.get(name);
      if (schema === undefined) throw new SqlError('3F000', `schema "${name}" does not exist`);
      ddl.requireSchemaOwner(schema);
      const { comment: _, ...rest } = schema;
      ddl.editor.putSchema(text === undefined ? rest : { ...rest, comment: text });
      return 'COMMENT';
    }
    case 'OBJECT_TYPE': {
      const type = findType(ddl, typeNameParts(object));
      requireTypeOwner(ddl, type);
      ddl.editor.putType({ ...type, comments: withComment(type.comments, 0, text) });
      return 'COMMENT';
    }
    default:
      throw ddl.binder().unsupported(`COMMENT ON ${describeKind(objtype.replace('OBJECT_', ''))}`);
  }
}

function withComment(
  comments: Readonly<Record<number, string>>,
  number: number,
  text: string | undefined,
): Readonly<Record<number, string>> {
  const { [number]: _, ...rest } = comments;
  return text === undefined ? rest : { ...rest, [number]: text };
}
