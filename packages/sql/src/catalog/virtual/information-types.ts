/** What information_schema tells of a type. */
import { displayType, isText, type SqlType } from '../../types/type.ts';
import { catalogSchema } from '../snapshot.ts';
import type { SystemRow } from './layout.ts';

const numbers: Readonly<Record<string, readonly [number, number, number | null]>> = {
  int2: [16, 2, 0],
  int4: [32, 2, 0],
  int8: [64, 2, 0],
  float4: [24, 2, null],
  float8: [53, 2, null],
};

/** What the standard tells of a type. */
export function typeFacts(type: SqlType, modifier: number): SystemRow {
  const character = isText(type) || type.name === 'bpchar';
  const length =
    (type.name === 'varchar' || type.name === 'bpchar') && modifier >= 4 ? modifier - 4 : null;
  const number = numbers[type.name];
  const decimal = type.name === 'numeric' && modifier >= 4;
  const isTime = ['timestamp', 'timestamptz', 'time', 'timetz', 'interval'].includes(type.name);
  return {
    data_type:
      type.category === 'A'
        ? 'ARRAY'
        : type.schema === catalogSchema
          ? displayType(type, -1)
          : 'USER-DEFINED',
    character_maximum_length: length,
    character_octet_length:
      character && type.name !== 'name' ? (length === null ? 1_073_741_824 : length * 4) : null,
    numeric_precision: number?.[0] ?? (decimal ? ((modifier - 4) >> 16) & 0xffff : null),
    numeric_precision_radix: number?.[1] ?? (type.name === 'numeric' ? 10 : null),
    numeric_scale: number?.[2] ?? (decimal ? (modifier - 4) & 0x7ff : null),
    datetime_precision:
      type.name === 'date' ? 0 : isTime ? (modifier >= 0 ? modifier & 0xffff : 6) : null,
    udt_schema: type.schema,
    udt_name: type.name,
  };
}
