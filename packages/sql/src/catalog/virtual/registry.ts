/** All system tables by name. */
import { informationSchema } from '../snapshot.ts';
import { clusterTables } from './cluster.ts';
import { constraintTables } from './constraints.ts';
import { informationTables } from './information-schema.ts';
import { systemShapes, systemTableOf } from './layout.ts';
import { relationTables } from './relations.ts';
import { typeTables } from './types.ts';
import type { VirtualTable } from './virtual-table.ts';

const catalogTables = { ...relationTables, ...typeTables, ...constraintTables, ...clusterTables };

const byName: ReadonlyMap<string, VirtualTable> = new Map(
  systemShapes.map((shape) => {
    const { schema, name } = shape;
    const rows = (schema === informationSchema ? informationTables : catalogTables)[name];
    return [`${schema}.${name}`, systemTableOf(shape, rows)];
  }),
);

/** Undefined: there is no such system table here. */
export function systemTable(schema: string, name: string): VirtualTable | undefined {
  return byName.get(`${schema}.${name}`);
}
