/**
 * CREATE EXTENSION and DROP of kinds of objects of which there are none. The extensions whose functions are built in are there
 * from the start, as plpgsql is in PostgreSQL: migrations that want them go on.
 */
import type { CreateExtensionStmt, DropStmt, Node } from 'libpg-query';
import { listItems, nameParts } from '../bind/ast.ts';
import { bindTypeName } from '../bind/type-name.ts';
import { installedExtensions } from '../catalog/virtual/extensions.ts';
import { scalarFunctions } from '../functions/scalar.ts';
import { SqlError } from '../sql-error.ts';
import type { DdlContext } from './ddl-context.ts';

/** Throws 42710, 0A000 for one that is not available. */
export async function createExtension(
  ddl: DdlContext,
  statement: CreateExtensionStmt,
): Promise<string> {
  const { extname = '', if_not_exists: ifNotExists } = statement;
  if (!installedExtensions.some(({ name }) => name === extname))
    throw new SqlError('0A000', `extension "${extname}" is not available`, {
      detail: `Available are ${installedExtensions.map(({ name }) => name).join(', ')}.`,
    });
  const message = `extension "${extname}" already exists`;
  if (ifNotExists !== true && extname === 'plpgsql') throw new SqlError('42710', message);
  // PostgreSQL would make it now; here it has been there from the start.
  ddl.notice('42710', `${message}, skipping`);
  return 'CREATE EXTENSION';
}

interface Kind {
  /** As messages have it. */
  readonly word: string;
  readonly code: string;
  readonly form: 'name' | 'of relation' | 'call';
  readonly tag?: string;
}

const kinds: Readonly<Record<string, Kind>> = {
  OBJECT_AGGREGATE: { word: 'aggregate', code: '42883', form: 'call' },
  OBJECT_COLLATION: { word: 'collation', code: '42704', form: 'name' },
  OBJECT_EVENT_TRIGGER: { word: 'event trigger', code: '42704', form: 'name' },
  OBJECT_EXTENSION: { word: 'extension', code: '42704', form: 'name' },
  OBJECT_FOREIGN_SERVER: { word: 'server', code: '42704', form: 'name', tag: 'SERVER' },
  OBJECT_FOREIGN_TABLE: { word: 'foreign table', code: '42P01', form: 'name' },
  OBJECT_FUNCTION: { word: 'function', code: '42883', form: 'call' },
  OBJECT_LANGUAGE: { word: 'language', code: '42704', form: 'name' },
  OBJECT_POLICY: { word: 'policy', code: '42704', form: 'of relation' },
  OBJECT_PROCEDURE: { word: 'procedure', code: '42883', form: 'call' },
  OBJECT_PUBLICATION: { word: 'publication', code: '42704', form: 'name' },
  OBJECT_ROUTINE: { word: 'routine', code: '42883', form: 'call' },
  OBJECT_RULE: { word: 'rule', code: '42704', form: 'of relation' },
  OBJECT_STATISTIC_EXT: {
    word: 'statistics object',
    code: '42704',
    form: 'name',
    tag: 'STATISTICS',
  },
  OBJECT_TRIGGER: { word: 'trigger', code: '42704', form: 'of relation' },
};

/** DROP of a kind that nothing is of. Undefined: it is none of those. Throws as for what is not there, and 0A000. */
export function dropAbsent(ddl: DdlContext, statement: DropStmt): string | undefined {
  const { removeType = '', objects = [], missing_ok: ifExists } = statement;
  const kind = kinds[removeType];
  if (kind === undefined) return undefined;
  for (const object of objects) {
    const message = missing(ddl, kind, object, ifExists === true);
    if (ifExists !== true) throw new SqlError(kind.code, message);
    ddl.notice('00000', `${message}, skipping`);
  }
  return `DROP ${kind.tag ?? removeType.replace('OBJECT_', '').replaceAll('_', ' ')}`;
}

/** Throws 0A000 where there is one that cannot be dropped, 42P01. */
function missing(ddl: DdlContext, kind: Kind, object: Node, ifExists: boolean): string {
  const { word, form } = kind;
  if (form === 'call') return `${word} ${callText(ddl, object)} does not exist`;
  const parts =
    'TypeName' in object ? nameParts(object.TypeName.names) : nameParts(listItems(object));
  const own = parts.length === 0 ? nameParts([object]) : parts;
  if (form === 'name') {
    const name = own.join('.');
    if (installedExtensions.some((one) => word === 'extension' && one.name === name))
      throw ddl.binder().unsupported(`DROP EXTENSION ${name}`);
    return `${word} "${name}" does not exist`;
  }
  const [name = '', relation = '', schema] = [...own].reverse();
  const shown = schema === undefined ? relation : `${schema}.${relation}`;
  if (ddl.find(schema, relation) !== undefined)
    return `${word} "${name}" for ${word === 'trigger' && !ifExists ? 'table' : 'relation'} "${relation}" does not exist`;
  if (!ifExists) throw new SqlError('42P01', `relation "${shown}" does not exist`);
  return `relation "${shown}" does not exist`;
}

/** Throws 0A000 for a function that is built in. */
function callText(ddl: DdlContext, object: Node): string {
  if (!('ObjectWithArgs' in object)) return '';
  const { objname, objargs = [] } = object.ObjectWithArgs;
  const parts = nameParts(objname);
  const name = parts.join('.');
  if (scalarFunctions.has(parts.at(-1) ?? ''))
    throw ddl.binder().unsupported(`DROP of the built-in function ${name}`);
  const context = ddl.binder();
  const types = objargs.map((one) =>
    'TypeName' in one ? bindTypeName(context, one.TypeName).type.display : '',
  );
  return `${name}(${types.join(',')})`;
}
