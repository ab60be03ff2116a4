/**
 * CREATE TYPE … AS ENUM, ALTER TYPE and what else names a type: RENAME, SET SCHEMA, OWNER TO, COMMENT. Rows of no table are
 * touched: they hold the oids of labels, keys their sort orders. DROP TYPE: drop.ts.
 */
import type { AlterEnumStmt, CreateEnumStmt, Node, TypeName } from 'libpg-query';
import { listItems, nameParts } from '../bind/ast.ts';
import { displayOf, type TypeDescriptor } from '../catalog/descriptor.ts';
import { storedQueryOf, wordOf } from '../catalog/relation-word.ts';
import { requireOwner } from '../roles/access.ts';
import { SqlError } from '../sql-error.ts';
import type { EnumLabel } from '../types/enum.ts';
import type { DdlContext } from './ddl-context.ts';

const labelBytesMax = 63;

/** Throws 42710: a relation is a type, too. */
export function refuseTakenType(ddl: DdlContext, schema: string, name: string): void {
  if (ddl.snapshot.findObject(schema, name) !== undefined)
    throw new SqlError('42710', `type "${name}" already exists`);
}

export async function createEnum(ddl: DdlContext, statement: CreateEnumStmt): Promise<string> {
  const [name = '', schemaname] = nameParts(statement.typeName).reverse();
  const schema = ddl.creationSchema(schemaname === undefined ? {} : { schemaname }, name);
  refuseTakenType(ddl, schema, name);
  const id = await ddl.takeId();
  const arrayOid = await ddl.takeId();
  const labels: EnumLabel[] = [];
  for (const label of nameParts(statement.vals)) {
    checkLabel(label);
    if (labels.some((one) => one.label === label))
      throw new SqlError(
        '23505',
        'duplicate key value violates unique constraint "pg_enum_typid_label_index"',
        {
          detail: `Key (enumtypid, enumlabel)=(${id}, ${label}) already exists.`,
          schema: 'pg_catalog',
          table: 'pg_enum',
          constraint: 'pg_enum_typid_label_index',
        },
      );
    labels.push({ oid: await ddl.takeId(), label, sortOrder: labels.length + 1 });
  }
  ddl.editor.putType({
    kind: 'type',
    id,
    arrayOid,
    schema,
    name,
    owner: ddl.user,
    version: 0,
    comments: {},
    labels,
  });
  return 'CREATE TYPE';
}

/** ADD VALUE, RENAME VALUE. */
export async function alterEnum(ddl: DdlContext, statement: AlterEnumStmt): Promise<string> {
  const { newVal = '', oldVal, newValNeighbor, newValIsAfter, skipIfNewValExists } = statement;
  const type = findType(ddl, nameParts(statement.typeName));
  if (type.domain !== undefined)
    throw new SqlError('42809', `${displayOf(type.name)} is not an enum`);
  requireTypeOwner(ddl, type);
  checkLabel(newVal);
  const taken = type.labels.some(({ label }) => label === newVal);
  if (oldVal !== undefined && oldVal !== '') {
    if (!type.labels.some(({ label }) => label === oldVal)) throw missingLabel(oldVal);
    if (taken) throw new SqlError('42710', `enum label "${newVal}" already exists`);
    const labels = type.labels.map((one) =>
      one.label === oldVal ? { ...one, label: newVal } : one,
    );
    ddl.editor.putType({ ...type, labels });
    return 'ALTER TYPE';
  }
  if (taken) {
    const message = `enum label "${newVal}" already exists`;
    if (skipIfNewValExists !== true) throw new SqlError('42710', message);
    ddl.notice('42710', `${message}, skipping`);
    return 'ALTER TYPE';
  }
  const sortOrder = orderBeside(type.labels, newValNeighbor, newValIsAfter === true);
  const label = { oid: await ddl.takeId(), label: newVal, sortOrder };
  ddl.editor.putType({ ...type, labels: [...type.labels, label] });
  return 'ALTER TYPE';
}

/** Where a new label stands. @param neighbor undefined: at the end. Throws 22023, 54000. */
function orderBeside(
  labels: readonly EnumLabel[],
  neighbor: string | undefined,
  after: boolean,
): number {
  const orders = labels.map((one) => one.sortOrder).sort((a, b) => a - b);
  if (neighbor === undefined || neighbor === '') return (orders[orders.length - 1] ?? 0) + 1;
  const own = labels.find(({ label }) => label === neighbor)?.sortOrder;
  if (own === undefined) throw missingLabel(neighbor);
  const next = orders[orders.indexOf(own) + (after ? 1 : -1)];
  if (next === undefined) return own + (after ? 1 : -1);
  const between = (own + next) / 2;
  // Keys hold the order, so it cannot be given out anew.
  if (between === own || between === next)
    throw new SqlError('54000', `there is no room for another enum label beside "${neighbor}"`);
  return between;
}

function missingLabel(label: string): SqlError {
  return new SqlError('22023', `"${label}" is not an existing enum label`);
}

/** Throws 42602. */
function checkLabel(label: string): void {
  if (Buffer.byteLength(label, 'utf8') > labelBytesMax)
    throw new SqlError('42602', `invalid enum label "${label}"`, {
      detail: `Labels must be ${labelBytesMax} bytes or less.`,
    });
}

/** Throws 42501. */
export function requireTypeOwner(ddl: DdlContext, type: TypeDescriptor): void {
  requireOwner(ddl.authority, type.owner, `type ${type.name}`);
}

/** The parts of a type's name where one stands in place of an object's. */
export function typeNameParts(object: Node | undefined): readonly string[] {
  const typeName: TypeName | undefined =
    object !== undefined && 'TypeName' in object ? object.TypeName : undefined;
  return nameParts(typeName === undefined ? listItems(object) : typeName.names);
}

/** A type that a user made; undefined: there is none of this name. Throws 3F000, and 42809 for types of other kinds. */
export function lookUpType(ddl: DdlContext, parts: readonly string[]): TypeDescriptor | undefined {
  const [name = '', schema] = [...parts].reverse();
  const { snapshot } = ddl;
  if (schema !== undefined && !snapshot.schemas.has(schema))
    throw new SqlError('3F000', `schema "${schema}" does not exist`);
  const { names } = ddl.binder();
  const type = names.findType(schema, name);
  if (type === undefined) {
    const relation = names.find(schema, name);
    if (relation === undefined) return undefined;
    throw new SqlError('42809', `${displayOf(relation.name)} is not an enum`);
  }
  const descriptor = type.element === undefined ? snapshot.descriptorOf(type) : undefined;
  if (descriptor === undefined) throw new SqlError('42809', `${type.display} is not an enum`);
  return descriptor;
}

/** Throws 42704, 42809, 3F000. */
export function findType(ddl: DdlContext, parts: readonly string[]): TypeDescriptor {
  const type = lookUpType(ddl, parts);
  if (type === undefined) throw new SqlError('42704', `type "${parts.join('.')}" does not exist`);
  return type;
}

/** ALTER TYPE … RENAME TO. */
export function renameType(ddl: DdlContext, object: Node | undefined, to: string): void {
  const type = findType(ddl, typeNameParts(object));
  requireTypeOwner(ddl, type);
  refuseTakenType(ddl, type.schema, to);
  refuseTypeUses(ddl, type, 'renaming');
  ddl.editor.putType({ ...type, name: to });
}

/** ALTER TYPE … SET SCHEMA. */
export function moveType(ddl: DdlContext, object: Node | undefined, schemaname: string): void {
  const type = findType(ddl, typeNameParts(object));
  requireTypeOwner(ddl, type);
  const schema = ddl.creationSchema({ schemaname }, type.name);
  if (schema === type.schema) return;
  if (ddl.snapshot.findObject(schema, type.name) !== undefined)
    throw new SqlError('42710', `type "${type.name}" already exists in schema "${schema}"`);
  refuseTypeUses(ddl, type, 'moving');
  ddl.editor.putType({ ...type, schema });
}

/** Texts that the catalog keeps name the types in them. Throws 0A000. */
export function refuseTypeUses(ddl: DdlContext, type: TypeDescriptor, doing: string): void {
  const refuse = (what: string) => {
    throw new SqlError('0A000', `${doing} a type that ${what} uses is not supported yet`);
  };
  for (const relation of ddl.snapshot.sorted()) {
    if (storedQueryOf(relation)?.uses.includes(type.id) === true)
      refuse(`${wordOf(relation)} ${relation.name}`);
    if (relation.kind !== 'table') continue;
    const texts = [
      ...relation.checks.map((one) => one.expression),
      ...relation.columns.flatMap((one) => one.generated ?? []),
      ...relation.columns.flatMap((one) =>
        one.default?.kind === 'expression' ? one.default.text : [],
      ),
      ...relation.indexes.flatMap((one) => one.predicate ?? []),
      ...relation.indexes.flatMap((one) =>
        one.columns.flatMap(({ expression }) => expression ?? []),
      ),
    ];
    const shown = `::${displayOf(type.name, type.schema)}`;
    if (texts.some((text) => text.includes(shown)))
      refuse(`an expression of table ${relation.name}`);
  }
}
