/** All system tables by name. */
import type { VirtualTable } from './virtual-table.ts';

const all: readonly VirtualTable[] = [];

const byName = new Map(all.map((table) => [`${table.schema}.${table.name}`, table]));

export function systemTable(schema: string, name: string): VirtualTable | undefined {
  return byName.get(`${schema}.${name}`);
}

export function systemTables(): readonly VirtualTable[] {
  return all;
}
