/**
 * What stores can do where rows are fetched by their keys: entries of an index are filtered by what they hold, and rows by all
 * that can go, before they travel. What entries were asked rows are asked once more, so that neither depends on the other.
 */
import { conjunction } from '../bind/conjuncts.ts';
import type { Expression } from '../bind/expression.ts';
import { markColumns } from '../bind/expression-tree.ts';
import type { IndexJoin } from '../execute/index-join.ts';
import { keysCodec, positionForm } from '../execute/push/compile-program.ts';
import { rowFormOf } from '../execute/push/pushable.ts';
import type { PushedRows } from '../execute/push/pushed-rows.ts';
import type { PushedProgram } from '../execute/push/pushed-scan.ts';
import { RowCodec } from '../storage/row-codec.ts';
import type { IndexScan, TableScan } from './plan.ts';
import { ProgramDraft } from './program-draft.ts';
import {
  encodeProbes,
  type GroupQuestion,
  groupProgram,
  narrows,
  type Probe,
  rowsWorthNarrowing,
  type ScanQuestion,
  split,
} from './push.ts';

/** In rows that are read, which count an entry and more for its row. */
const entriesWorthNarrowing = 4 * rowsWorthNarrowing;

/** A scan by an index, and the rows that its entries name, as their stores see them. */
export interface PushedJoin {
  readonly join: IndexJoin;
  /** What is left to ask of rows that were evaluated. */
  readonly rest: Expression | undefined;
  /** For EXPLAIN: what is done there. */
  readonly words: string;
}

/** Rows that are fetched by their keys, as their stores see them. */
export interface PushedFetch {
  readonly rows: PushedRows;
  readonly rest: Expression | undefined;
  readonly words: string;
}

/** @param probes as of `pushScan` @returns undefined: entries and rows are read as they are */
export function pushIndexJoin(
  question: ScanQuestion,
  probes: readonly Probe[] = [],
): PushedJoin | undefined {
  const { scan, filter } = question;
  const { index } = scan;
  if (index === undefined || !isIndexJoin(scan)) return undefined;
  const entries = pushEntries(question, index);
  const asked = entries === undefined ? 0 : entries.conditions;
  const fetch = pushFetch(question, probes, asked);
  if (probes.length > 0 && fetch === undefined) return undefined;
  if (entries === undefined && fetch === undefined) return undefined;
  const words = [asked > 0 ? 'index filter' : 'keys', fetch?.words ?? []].flat();
  return {
    join: { scan, entries: entries?.program, rows: fetch?.rows },
    rest: fetch === undefined ? filter : fetch.rest,
    words: entries === undefined ? (fetch?.words ?? '') : words.join(', '),
  };
}

/**
 * @param known conditions that are asked before a row is fetched
 * @returns undefined: it is not worth it, or cannot be done
 */
export function pushFetch(
  { scan, filter, above, rows }: ScanQuestion,
  probes: readonly Probe[] = [],
  known = 0,
): PushedFetch | undefined {
  const rowScan = rowsOf(scan);
  const draft = new ProgramDraft(rowScan);
  const keys = encodeProbes(draft, probes, rows);
  if (keys === undefined) return undefined;
  const { pushed, rest } = split(draft, filter);
  const wanted = [...above];
  for (const one of rest) markColumns(one, wanted);
  const asks = pushed.length > known || probes.length > 0;
  if (!asks && !(rows >= rowsWorthNarrowing && narrows(rowScan, wanted))) return undefined;
  const { columns: all } = scan.store.table;
  const columns = all.flatMap((_column, i) => (wanted[i] === true ? [i] : []));
  const planned = draft.finish(
    pushed,
    () => ({
      kind: 'columns',
      columns: columns.map((column) => [draft.place(column), draft.formOf(column)]),
      positions: true,
    }),
    keys,
  );
  if (planned === undefined) return undefined;
  const codec = new RowCodec([
    ...columns.map((index) => ({ index, form: rowFormOf(draft.typeOf(index)), missing: null })),
    { index: all.length, form: positionForm, missing: null },
  ]);
  return {
    rows: { ...planned, result: { codec, width: all.length + 1 } },
    rest: conjunction(rest),
    words: pushed.length > known ? 'filter, columns' : 'columns',
  };
}

/** Groups of rows that the entries of an index name. Undefined: something in it has to be done here. */
export function pushIndexGroups(
  question: GroupQuestion,
): { readonly join: IndexJoin; readonly groups: PushedRows } | undefined {
  const { scan } = question;
  const { index } = scan;
  if (index === undefined || !isIndexJoin(scan)) return undefined;
  const groups = groupProgram(question, rowsOf(scan));
  if (groups === undefined) return undefined;
  const entries = pushEntries(question, index);
  return { join: { scan, entries: entries?.program, rows: undefined }, groups };
}

function isIndexJoin({ points, index, withRowId }: TableScan): boolean {
  return !points && !withRowId && index?.covering === false && !index.single;
}

/** The same rows, read by their own keys. */
function rowsOf(scan: TableScan): TableScan {
  return { ...scan, index: undefined };
}

/** Conditions about what entries hold, before their rows are fetched. */
function pushEntries(
  { scan, filter, rows }: Pick<ScanQuestion, 'scan' | 'filter' | 'rows'>,
  { holds }: IndexScan,
): { readonly program: PushedProgram; readonly conditions: number } | undefined {
  const draft = new ProgramDraft(scan);
  const isHeld = (condition: Expression): boolean => {
    const read: boolean[] = [];
    markColumns(condition, read);
    return read.every((one, column) => !one || holds[column] === true);
  };
  const { pushed } = split(draft, filter, isHeld);
  if (pushed.length === 0 && rows < entriesWorthNarrowing) return undefined;
  const planned = draft.finish(pushed, () => ({ kind: 'keys' }));
  const result = { codec: keysCodec, width: 1 };
  return planned && { program: { ...planned, scan, result }, conditions: pushed.length };
}
