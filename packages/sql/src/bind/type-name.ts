/** Type names of CAST, `::` and column definitions. */
import type { TypeName } from 'libpg-query';
import { SqlError } from '../sql-error.ts';
import { arrayTypeOf, isSerialName, type SqlType, voidType } from '../types/type.ts';
import { nameParts } from './ast.ts';
import type { BindContext } from './context.ts';

export interface BoundType {
  readonly type: SqlType;
  readonly modifier: number;
}

/** Throws 42704 for unknown types, 0A000 for types that are not built, 22023 for bad lengths. */
export function bindTypeName(context: BindContext, typeName: TypeName): BoundType {
  const { location } = typeName;
  const parts = nameParts(typeName.names);
  const name = parts[parts.length - 1] ?? '';
  const schema = parts.length > 1 ? parts[0] : undefined;
  const shown = parts.join('.');
  if (typeName.setof === true) throw context.unsupported('SETOF', location);
  if (typeName.pct_type === true) throw context.unsupported('%TYPE', location);
  let type = context.findType(schema, name);
  if (type === undefined) {
    if (schema !== undefined && !context.names.snapshot.schemas.has(schema))
      throw context.error('3F000', `schema "${schema}" does not exist`, location);
    if (isSerialName(name)) throw context.unsupported(`type ${name}`, location);
    throw context.error('42704', `type "${shown}" does not exist`, location);
  }
  const element = type;
  if ((typeName.arrayBounds ?? []).length > 0 && type.supported) type = arrayTypeOf(type);
  if (type === undefined && element.domain !== undefined)
    throw context.unsupported(`array of domain ${element.display}`, location);
  if (type?.supported !== true) throw context.unsupported(`type ${element.display}`, location);
  if (type.category === 'P' && type !== voidType && element.category === 'P')
    throw context.unsupported(`type ${type.display}`, location);
  return { type, modifier: bindModifier(context, element, typeName) };
}

/** Throws 42601, 22023. */
function bindModifier(context: BindContext, type: SqlType, typeName: TypeName): number {
  const { location, typmods = [] } = typeName;
  if (typmods.length === 0) return -1;
  const form = type.domain === undefined ? type.codec?.modifier : undefined;
  if (form === undefined)
    throw context.error('42601', `type modifier is not allowed for type "${type.name}"`, location);
  const written = typmods.map((one) =>
    'A_Const' in one && one.A_Const.ival !== undefined ? (one.A_Const.ival.ival ?? 0) : undefined,
  );
  const numbers = written.flatMap((one) => one ?? []);
  if (numbers.length < written.length)
    throw context.error(
      '42601',
      'type modifiers must be simple constants or identifiers',
      location,
    );
  try {
    return form.parse(numbers, type.name);
  } catch (error) {
    if (error instanceof SqlError) throw context.error(error.code, error.message, location);
    throw error;
  }
}
