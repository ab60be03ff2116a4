/** All system tables by name. */
import { catalogSchema, flotillaSchema, informationSchema } from '../snapshot.ts';
import { clusterTables } from './cluster.ts';
import { constraintTables } from './constraints.ts';
import { extensionTables } from './extensions.ts';
import { flotillaTables } from './flotilla.ts';
import { informationTables } from './information-schema.ts';
import { type RowsOf, systemShapes, systemTableOf } from './layout.ts';
import { relationTables } from './relations.ts';
import { typeTables } from './types.ts';
import type { VirtualTable } from './virtual-table.ts';

const catalogTables = {
  ...relationTables,
  ...typeTables,
  ...constraintTables,
  ...clusterTables,
  ...extensionTables,
};

const bySchema: Readonly<Record<string, Readonly<Record<string, RowsOf>>>> = {
  [catalogSchema]: catalogTables,
  [informationSchema]: informationTables,
  [flotillaSchema]: flotillaTables,
};

const byName: ReadonlyMap<string, VirtualTable> = new Map(
  systemShapes.map((shape) => {
    const { schema, name } = shape;
    return [`${schema}.${name}`, systemTableOf(shape, bySchema[schema]?.[name])];
  }),
);

/** Undefined: there is no such system table here. */
export function systemTable(schema: string, name: string): VirtualTable | undefined {
  return byName.get(`${schema}.${name}`);
}
