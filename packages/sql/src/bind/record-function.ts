/** json_to_record and its like: functions of FROM whose columns are written behind their alias. */
import type { FuncCall, Node } from 'libpg-query';
import { recordFromJson } from '../functions/json-records.ts';
import type { SetSignature } from '../functions/set-returning.ts';
import { jsonbType, jsonType } from '../types/type.ts';
import { noFunction } from './bind-function.ts';
import type { Binder } from './binder.ts';
import { tryCoerce } from './coerce.ts';
import type { Expression } from './expression.ts';
import { bindTypeName } from './type-name.ts';

const names = /^jsonb?_to_record(set)?$/;

export function isRecordFunction(name: string): boolean {
  return names.test(name);
}

/** Throws 42601 without definitions, 42883. */
export function bindRecordFunction(
  binder: Binder,
  call: FuncCall,
  name: string,
  definitions: readonly Node[],
): {
  readonly signature: SetSignature;
  readonly arguments: readonly Expression[];
  readonly columns: SetSignature['columns'];
} {
  const { context } = binder;
  const { location } = call;
  const bound = (call.args ?? []).map((one) => binder.bind(one));
  const [value, second] = bound;
  const type = name.startsWith('jsonb') ? jsonbType : jsonType;
  const json = value === undefined ? undefined : tryCoerce(context, value, type, 'implicit');
  if (json === undefined || second !== undefined) throw noFunction(context, name, bound, location);
  const columns = definitions.map((node) => {
    if (!('ColumnDef' in node) || node.ColumnDef.typeName === undefined)
      throw context.unsupported('column definition', location);
    const { colname = '', typeName } = node.ColumnDef;
    return { name: colname, ...bindTypeName(context, typeName) };
  });
  if (columns.length === 0)
    throw context.error(
      '42601',
      'a column definition list is required for functions returning "record"',
      location,
    );
  const rows = recordFromJson(name, columns);
  const signature: SetSignature = { name, parameters: [type], columns, strict: true, rows };
  return { signature, arguments: [json], columns };
}
