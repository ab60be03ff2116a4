/** What the planner of FROM hands on: parts of FROM's row that are planned, and orders that are asked of them. */
import type { Planned } from './plan-relation.ts';
import type { AskedOrder } from './plan-table.ts';

/** An order that a single table may give by itself. `found` is set if it does. */
export interface Ordering extends AskedOrder {
  /** Rows that are enough; undefined: all. */
  readonly limit: number | undefined;
  found: boolean;
  /** Nothing else will do. */
  readonly must?: boolean;
}

/** A planned part of FROM. The layout has a place for each column of FROM that the part holds. */
export interface Part extends Planned {
  readonly layout: readonly number[];
}

/** A layout of FROM's row. @param total columns of FROM @param place of the i-th column from `offset` on */
export function placed(
  total: number,
  offset: number,
  width: number,
  place: (i: number) => number,
): number[] {
  const layout = new Array<number>(total).fill(-1);
  for (let i = 0; i < width; i++) layout[offset + i] = place(i);
  return layout;
}
