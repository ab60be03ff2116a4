/**
 * The meta index says what is: when nothing is under way any more, every range has one row, under its end key, with its
 * newest descriptor and whoever leads it, and there is no other row. Ranges tile the key space (`tiling.ts`), so the rows
 * then have neither a gap nor an overlap.
 */
import { compareBytes, metaPrefix, systemPrefix, toHex } from '@flotilla/base';
import { kv } from '@flotilla/shard/protocol';
import { versionsOf } from '@flotilla/shard/testing';
import type { StoreMachine } from '../cluster/store-machine.ts';
import { type Leader, leadersOf } from './leaders.ts';
import { type Descriptor, textOf } from './tiling.ts';

/** @param descriptors the newest of every range. @returns what of the index is wrong, or undefined */
export function metaFault(
  machines: readonly StoreMachine[],
  descriptors: readonly Descriptor[],
): string | undefined {
  const leaders = leadersOf(machines);
  const wanted = new Map<string, string>();
  for (const descriptor of descriptors) {
    const { machine, term } = leaders.get(descriptor.rangeId) ?? {};
    const led = `led by s${machine?.storeId} in t${term}`;
    wanted.set(toHex(descriptor.endKey), `r${descriptor.rangeId} ${textOf(descriptor)} ${led}`);
  }
  return rowsFault(rowsOf(leaders), wanted);
}

/** Both by end key: what the rows say, and what the ranges are. */
export function rowsFault(
  rows: ReadonlyMap<string, string>,
  wanted: ReadonlyMap<string, string>,
): string | undefined {
  for (const [end, range] of wanted) {
    const row = rows.get(end);
    if (row === undefined) return `no row for ${range}`;
    if (row !== range) return `the row of ${range} says ${row}`;
  }
  for (const [end, row] of rows)
    if (!wanted.has(end)) return `the row at ${end} is of no range: ${row}`;
  return undefined;
}

/** Texts of rows by end key, in hex, as the leaders of the parts of the index have them. */
function rowsOf(leaders: ReadonlyMap<number, Leader>): Map<string, string> {
  const rows = new Map<string, string>();
  for (const { machine, descriptor } of leaders.values()) {
    const { store, engine } = machine;
    if (store === undefined || compareBytes(descriptor.startKey, systemPrefix) >= 0) continue;
    for (const { key, supersededAt, value } of versionsOf(store, engine, descriptor.rangeId)) {
      if (supersededAt !== 0 || !key.subarray(0, metaPrefix.length).equals(metaPrefix)) continue;
      rows.set(toHex(key.subarray(metaPrefix.length)), textOfRow(value));
    }
  }
  return rows;
}

function textOfRow(value: Uint8Array): string {
  const { descriptor, leaseholderStoreId, term } = kv.RangeInfo.decode(value);
  if (!descriptor) return 'nothing';
  const { startKey, endKey, generation, replicas } = descriptor;
  const text = textOf({
    startKey: startKey ?? new Uint8Array(0),
    endKey: endKey ?? new Uint8Array(0),
    generation: generation ?? 0,
    replicas: replicas ?? [],
  });
  return `r${descriptor.rangeId} ${text} led by s${leaseholderStoreId} in t${term}`;
}
