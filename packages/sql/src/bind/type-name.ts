/** Type names of CAST, `::` and column definitions. */
import type { TypeName } from 'libpg-query';
import { isSerialName, type SqlType, textType, typeByName, varcharType } from '../types/type.ts';
import { nameParts } from './ast.ts';
import type { BindContext } from './context.ts';

export interface BoundType {
  readonly type: SqlType;
  readonly modifier: number;
}

const lengthMax = 10_485_760;

/** Throws 42704 for unknown types, 0A000 for types that are not built, 22023 for bad lengths. */
export function bindTypeName(context: BindContext, typeName: TypeName): BoundType {
  const { location } = typeName;
  const parts = nameParts(typeName.names);
  const name = parts[parts.length - 1] ?? '';
  const schema = parts.length > 1 ? parts[0] : undefined;
  const shown = parts.join('.');
  if (typeName.setof === true) throw context.unsupported('SETOF', location);
  if (typeName.pct_type === true) throw context.unsupported('%TYPE', location);
  const type = schema === undefined || schema === 'pg_catalog' ? typeByName(name) : undefined;
  if (type === undefined) {
    if (isSerialName(name)) throw context.unsupported(`type ${name}`, location);
    if (name.startsWith('_') && typeByName(name.slice(1)) !== undefined)
      throw context.unsupported(`array type ${name}`, location);
    throw context.error('42704', `type "${shown}" does not exist`, location);
  }
  if ((typeName.arrayBounds ?? []).length > 0)
    throw context.unsupported(`array type ${type.display}[]`, location);
  if (!type.supported || type.category === 'P')
    throw context.unsupported(`type ${type.display}`, location);
  const modifiers = typeName.typmods ?? [];
  if (modifiers.length === 0) return { type, modifier: -1 };
  if (type !== varcharType) {
    if (type === textType || type.name.startsWith('int') || type.name === 'bool')
      throw context.error(
        '42601',
        `type modifier is not allowed for type "${type.display}"`,
        location,
      );
    throw context.unsupported(`type modifier of ${type.display}`, location);
  }
  const [first] = modifiers;
  const length =
    first !== undefined && 'A_Const' in first && first.A_Const.ival !== undefined
      ? (first.A_Const.ival.ival ?? 0)
      : undefined;
  if (length === undefined || modifiers.length > 1)
    throw context.error('22023', 'invalid type modifier', location);
  if (length < 1)
    throw context.error('22023', 'length for type varchar must be at least 1', location);
  if (length > lengthMax)
    throw context.error('22023', `length for type varchar cannot exceed ${lengthMax}`, location);
  return { type, modifier: length + 4 };
}
