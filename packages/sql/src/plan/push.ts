/**
 * What of a plan the stores can do: conditions of a scan, the columns that go on, groups and their aggregates. A condition
 * that cannot go is asked here, and then only those go ahead of it that stood before it or cannot fail: a row must not meet
 * an error that it would have been spared. Decides by what expressions are; what they mean is the same code at both ends.
 */
import { conjunction, conjuncts } from '../bind/conjuncts.ts';
import type { Expression } from '../bind/expression.ts';
import { markColumns } from '../bind/expression-tree.ts';
import type { GroupingPlan } from '../execute/group-table.ts';
import { nameOfAggregate, partialCodec } from '../execute/push/compile-program.ts';
import { cannotFail, encodeExpression, type Json } from '../execute/push/expression-text.ts';
import type { ProgramText } from '../execute/push/program.ts';
import { isPushableType, rowFormOf } from '../execute/push/pushable.ts';
import type { PushedProgram } from '../execute/push/pushed-scan.ts';
import type { AggregateSignature } from '../functions/aggregates.ts';
import { RowCodec } from '../storage/row-codec.ts';
import type { SqlType } from '../types/type.ts';
import type { TableScan } from './plan.ts';
import { ProgramDraft } from './program-draft.ts';

/** A scan as its stores see it. */
export interface PushedScan {
  readonly program: PushedProgram;
  /** What is left to ask of these rows. */
  readonly rest: Expression | undefined;
  /** For EXPLAIN: what is done there. */
  readonly words: string;
}

/** Of fewer rows than this it does not pay to send less of each. A guess. */
export const rowsWorthNarrowing = 500;

export interface ScanQuestion {
  readonly scan: TableScan;
  readonly filter: Expression | undefined;
  /** By offset into the table's columns: what is read above the filter. */
  readonly above: readonly boolean[];
  /** Rows that are read, about. */
  readonly rows: number;
}

/** What a join compares: an expression over the table's own row, and the type of the other side. */
export interface Probe {
  readonly key: Expression;
  readonly against: SqlType;
}

/**
 * @param probes there is to be a place for a filter of these keys
 * @returns undefined: rows are read as they are
 */
export function pushScan(
  { scan, filter, above, rows }: ScanQuestion,
  probes: readonly Probe[] = [],
): PushedScan | undefined {
  if (!isPushableScan(scan)) return undefined;
  const draft = new ProgramDraft(scan);
  const keys = encodeProbes(draft, probes, rows);
  if (keys === undefined) return undefined;
  const { pushed, rest } = split(draft, filter);
  const wanted = [...above];
  for (const one of rest) markColumns(one, wanted);
  const columns = scan.store.table.columns.flatMap((_column, i) => (wanted[i] === true ? [i] : []));
  if (pushed.length + probes.length === 0 && !(rows >= rowsWorthNarrowing && narrows(scan, wanted)))
    return undefined;
  const { columns: all } = scan.store.table;
  const codec = new RowCodec(
    columns.map((index) => ({ index, form: rowFormOf(draft.typeOf(index)), missing: null })),
  );
  const output = (): ProgramText['output'] => ({
    kind: 'columns',
    columns: columns.map((column) => [draft.place(column), draft.formOf(column)]),
  });
  const planned = draft.finish(pushed, output, keys);
  if (planned === undefined) return undefined;
  const program = { ...planned, scan, result: { codec, width: all.length } };
  const words = pushed.length === 0 ? 'columns' : 'filter, columns';
  return { program, rest: conjunction(rest), words };
}

/** Undefined: they cannot go, or the rows are too few for them. */
export function encodeProbes(
  draft: ProgramDraft,
  probes: readonly Probe[],
  rows: number,
): Pick<ProgramText, 'probe' | 'against'> | undefined {
  const probe = probes.map(({ key }) => encodeExpression(key, draft));
  if (probe.includes(undefined) || !probes.every(({ against }) => isPushableType(against)))
    return undefined;
  if (probes.length > 0 && rows < rowsWorthNarrowing) return undefined;
  return { probe: probe as Json[], against: probes.map(({ against }) => against.oid) };
}

/** A grouping over a scan of one table. Expressions are over the table's own row. */
export interface GroupQuestion extends Pick<ScanQuestion, 'scan' | 'filter' | 'rows'> {
  readonly keys: readonly Expression[];
  readonly aggregates: readonly {
    readonly signature: AggregateSignature;
    readonly arguments: readonly Expression[];
    readonly distinct: boolean;
    readonly filter: Expression | undefined;
    readonly order: readonly unknown[];
  }[];
  readonly plan: GroupingPlan;
}

/** Undefined: something in it has to be done here. */
export function pushGroups(question: GroupQuestion): PushedProgram | undefined {
  const { scan } = question;
  const program = isPushableScan(scan) ? groupProgram(question, scan) : undefined;
  return program && { ...program, scan };
}

/** @param rows how the rows are read */
export function groupProgram(
  question: GroupQuestion,
  rows: TableScan,
): Omit<PushedProgram, 'scan'> | undefined {
  const { filter, keys, aggregates, plan } = question;
  if (plan.sets !== undefined) return undefined;
  const draft = new ProgramDraft(rows);
  const { pushed, rest } = split(draft, filter);
  if (rest.length > 0) return undefined;
  const encoded = keys.map((key) => encodeExpression(key, draft));
  if (encoded.some((key) => key === undefined)) return undefined;
  const all: { name: string; arguments: Json[]; filter: Json }[] = [];
  for (const one of aggregates) {
    if (one.distinct || one.order.length > 0) return undefined;
    const name = nameOfAggregate(
      one.signature,
      one.arguments.map(({ type }) => type),
    );
    const parameters = one.arguments.map((argument) => encodeExpression(argument, draft));
    const condition = one.filter === undefined ? null : encodeExpression(one.filter, draft);
    if (name === undefined || condition === undefined || parameters.includes(undefined))
      return undefined;
    all.push({ name, arguments: parameters as Json[], filter: condition });
  }
  const output: ProgramText['output'] = {
    kind: 'groups',
    keys: encoded as Json[],
    aggregates: all,
  };
  const codec = partialCodec(plan);
  const planned = draft.finish(pushed, () => output);
  return planned && { ...planned, result: { codec, width: codec.stored.length } };
}

/** Whether rows are read by spans, and by keys that say themselves what is in them. */
function isPushableScan({ points, index, withRowId }: TableScan): boolean {
  return !points && !withRowId && (index === undefined || (index.covering && !index.single));
}

/** Which conditions go. @param isHeld the rows have all that the condition reads */
export function split(
  draft: ProgramDraft,
  filter: Expression | undefined,
  isHeld: (condition: Expression) => boolean = () => true,
): { readonly pushed: Json[]; readonly rest: Expression[] } {
  const pushed: Json[] = [];
  const rest: Expression[] = [];
  for (const one of conjuncts(filter)) {
    const mayGo = isHeld(one) && (rest.length === 0 || cannotFail(one));
    const encoded = mayGo ? draft.tryEncode(one) : undefined;
    if (encoded === undefined) rest.push(one);
    else pushed.push(encoded);
  }
  return { pushed, rest };
}

/** Whether a good part of each row is not wanted. */
export function narrows({ store, index }: TableScan, wanted: readonly boolean[]): boolean {
  if (index !== undefined) return false;
  return store.codec.stored.some(
    ({ index: column, form }) =>
      column >= 0 && wanted[column] !== true && (form === 'text' || typeof form === 'object'),
  );
}
