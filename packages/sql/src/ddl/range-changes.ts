/**
 * Which spans of keys are to obey what, after a change of the catalog, and did not before. A table's storage is a span. A
 * database's is one as well while it has its slice of the table space to itself; where databases share a slice, each run of
 * neighbours that are of one database is a span, up to where the next begins, so that new tables lie in it from the start.
 * Spans of tables lie in those of databases: whoever obeys them lets the narrower win, field by field.
 */
import { compareBytes, type Span } from '@flotilla/base';
import type { CatalogEditor } from '../catalog/editor.ts';
import { type CatalogSnapshot, contentsOf, databasesIn } from '../catalog/snapshot.ts';
import type { SpanConfiguration } from '../cluster/cluster-inspector.ts';
import { sliceOf, storageSpan } from '../storage/table-store.ts';

/** What a span of keys is to obey. */
interface Obeyed {
  /** For people: `table "t"`. */
  readonly whose: string;
  readonly span: Span;
  readonly ranges: SpanConfiguration;
  /** The values in descriptors that it comes from: they are others when somebody sets the same again. */
  readonly from: readonly SpanConfiguration[];
}

export interface RangeChange {
  readonly whose: string;
  readonly span: Span;
  /** Undefined: what all around it obeys. */
  readonly ranges: SpanConfiguration | undefined;
}

/** New wishes before those that are taken back, so that a span whose bounds move is never without. */
export function rangeChanges({ before, snapshot: after }: CatalogEditor): RangeChange[] {
  const [told, wanted] = [obeyedIn(before), obeyedIn(after)];
  const changes: RangeChange[] = [];
  for (const [key, { whose, span, ranges, from }] of wanted) {
    const old = told.get(key)?.from;
    if (old?.length !== from.length || from.some((one, i) => one !== old[i]))
      changes.push({ whose, span, ranges });
  }
  for (const [key, { whose, span }] of told)
    if (!wanted.has(key)) changes.push({ whose, span, ranges: undefined });
  return changes;
}

function obeyedIn(snapshot: CatalogSnapshot): Map<string, Obeyed> {
  const all = new Map<string, Obeyed>();
  for (const one of [...ofDatabases(snapshot), ...ofTables(snapshot)]) {
    const key = `${hex(one.span.startKey)} ${hex(one.span.endKey)}`;
    const wider = all.get(key);
    // A run of one table has its bounds.
    const made =
      wider === undefined
        ? one
        : {
            ...one,
            ranges: { ...wider.ranges, ...one.ranges },
            from: [...wider.from, ...one.from],
          };
    all.set(key, made);
  }
  return all;
}

function ofTables({ contents }: CatalogSnapshot): Obeyed[] {
  const found: Obeyed[] = [];
  for (const database of databasesIn(contents))
    for (const relation of contentsOf(contents, database).relations.values()) {
      if (relation.kind !== 'table' || relation.ranges === undefined) continue;
      const { name, storageId, ranges } = relation;
      const span = storageSpan(storageId);
      found.push({ whose: `table "${name}"`, span, ranges, from: [ranges] });
    }
  return found;
}

function ofDatabases(snapshot: CatalogSnapshot): Obeyed[] {
  const databases = [...snapshot.databases.values()];
  if (databases.every(({ ranges }) => ranges === undefined)) return [];
  const byId = new Map(databases.map((one) => [one.id, one]));
  const found: Obeyed[] = [];
  for (const { database, span } of runsOf(snapshot)) {
    const { name, ranges } = byId.get(database) ?? {};
    if (ranges !== undefined)
      found.push({ whose: `database "${name}"`, span, ranges, from: [ranges] });
  }
  return found;
}

interface Run {
  readonly database: number;
  readonly span: Span;
}

/** All that is stored, by whose it is. The first run of a slice begins with it, the last one ends with it. */
function runsOf({ contents }: CatalogSnapshot): Run[] {
  const stored: { database: number; startKey: Uint8Array; slice: Span }[] = [];
  for (const database of databasesIn(contents))
    for (const relation of contentsOf(contents, database).relations.values()) {
      if (relation.kind === 'view') continue;
      const { startKey } = storageSpan(relation.storageId);
      stored.push({ database, startKey, slice: sliceOf(startKey) });
    }
  stored.sort((a, b) => compareBytes(a.startKey, b.startKey));
  const runs: Run[] = [];
  let last: Run | undefined;
  for (const { database, startKey, slice } of stored) {
    const isFirst = last === undefined || compareBytes(last.span.endKey, startKey) <= 0;
    if (last !== undefined && !isFirst) {
      if (last.database === database) continue;
      runs.pop();
      runs.push({ ...last, span: { startKey: last.span.startKey, endKey: startKey } });
    }
    last = {
      database,
      span: { startKey: isFirst ? slice.startKey : startKey, endKey: slice.endKey },
    };
    runs.push(last);
  }
  return runs;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
