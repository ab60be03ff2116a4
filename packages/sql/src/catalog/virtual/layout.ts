/**
 * The shapes of system tables, read from the layouts as PostgreSQL 15 has them, and how their rows are made: a file of tables
 * gives records by column name; what a record leaves out is the zero value of its type, as in a catalog without that feature.
 */
import type { Datum } from '../../session-api.ts';
import { type SqlType, textType, typeByName } from '../../types/type.ts';
import { catalogSchema, flotillaSchema, informationSchema } from '../snapshot.ts';
import { catalogLayout } from './catalog-layout.ts';
import { flotillaLayout } from './flotilla-layout.ts';
import { informationLayout } from './information-layout.ts';
import type { VirtualColumn, VirtualSource, VirtualTable } from './virtual-table.ts';

export type SystemRow = Readonly<Record<string, Datum>>;

export type RowsOf = (source: VirtualSource) => Iterable<SystemRow> | AsyncIterable<SystemRow>;

export interface SystemShape {
  readonly schema: string;
  readonly name: string;
  readonly oid: number;
  readonly relkind: 'r' | 'v';
  readonly columns: readonly VirtualColumn[];
}

function readLayout(schema: string, layout: string): SystemShape[] {
  return layout
    .split(/\n {2}(?=\S)/)
    .slice(1)
    .map((block) => {
      const [head = '', ...lines] = block.trim().split('\n');
      const [name = '', oid = '', relkind] = head.split(' ');
      const columns = lines
        .map((line) => line.trim())
        .join(' ')
        .split(', ')
        .map((column): VirtualColumn => {
          const [columnName = '', written = ''] = column.split(' ');
          const [type = '', modifier = '-1'] = written.split('/');
          return {
            name: columnName,
            type: typeByName(type) ?? textType,
            modifier: Number(modifier),
          };
        });
      return { schema, name, oid: Number(oid), relkind: relkind === 'v' ? 'v' : 'r', columns };
    });
}

export const systemShapes: readonly SystemShape[] = [
  ...readLayout(catalogSchema, catalogLayout),
  ...readLayout(informationSchema, informationLayout),
  ...readLayout(flotillaSchema, flotillaLayout),
];

/** @param rows undefined: the table is always empty */
export function systemTableOf(shape: SystemShape, rows: RowsOf | undefined): VirtualTable {
  const { schema, name, oid, columns } = shape;
  const zeros = columns.map(({ type }) => (schema === catalogSchema ? zeroOf(type) : null));
  return {
    kind: 'virtual',
    oid,
    schema,
    name,
    columns,
    async *rows(source) {
      if (rows === undefined) return;
      for await (const row of rows(source))
        yield columns.map((column, i) => {
          const value = row[column.name];
          return value === undefined ? (zeros[i] ?? null) : value;
        });
    },
  };
}

function zeroOf(type: SqlType): Datum {
  switch (type.name) {
    case 'bool':
      return false;
    case 'int2':
    case 'int4':
    case 'oid':
    case 'regproc':
    case 'float4':
      return 0;
    case 'char':
      return '';
    default:
      return null;
  }
}
