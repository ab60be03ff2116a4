/**
 * What of a plan the stores can do: conditions of a scan, the columns that go on, groups and their aggregates. A condition
 * that cannot go is asked here, and then only those go ahead of it that stood before it or cannot fail: a row must not meet
 * an error that it would have been spared. Decides by what expressions are; what they mean is the same code at both ends.
 */
import { conjunction, conjuncts } from '../bind/conjuncts.ts';
import { type Expression, markColumns } from '../bind/expression.ts';
import { evaluatorOf } from '../execute/evaluate.ts';
import type { GroupingPlan } from '../execute/group-table.ts';
import { nameOfAggregate, partialCodec } from '../execute/push/evaluate-program.ts';
import {
  cannotFail,
  type ExpressionScope,
  encodeExpression,
  type Json,
} from '../execute/push/expression-text.ts';
import {
  type FormText,
  type ProgramText,
  passingForm,
  programBytesMax,
} from '../execute/push/program.ts';
import { isPushableType, rowFormOf, textOfDatum, valuesCodec } from '../execute/push/pushable.ts';
import type { PushedProgram } from '../execute/push/pushed-scan.ts';
import type { AggregateSignature } from '../functions/aggregates.ts';
import { RowCodec } from '../storage/row-codec.ts';
import type { SqlType } from '../types/type.ts';
import type { TableScan } from './plan.ts';

/** A scan as its stores see it. */
export interface PushedScan {
  readonly program: PushedProgram;
  /** What is left to ask of these rows. */
  readonly rest: Expression | undefined;
  /** For EXPLAIN: the conditions that go. */
  readonly filter: Expression | undefined;
}

/** Of fewer rows than this it does not pay to send less of each. A guess. */
const rowsWorthNarrowing = 500;

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
  const draft = new Draft(scan);
  const probe = probes.map(({ key }) => encodeExpression(key, draft));
  if (probe.includes(undefined) || !probes.every(({ against }) => isPushableType(against)))
    return undefined;
  if (probes.length > 0 && rows < rowsWorthNarrowing) return undefined;
  const { pushed, conditions, rest } = split(draft, filter);
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
  const keys = { probe: probe as Json[], against: probes.map(({ against }) => against.oid) };
  const program = draft.finish(pushed, output, { codec, width: all.length }, keys);
  if (program === undefined) return undefined;
  return { program, rest: conjunction(rest), filter: conjunction(conditions) };
}

/** A grouping over a scan of one table. Expressions are over the table's own row. */
export interface GroupQuestion {
  readonly scan: TableScan;
  readonly filter: Expression | undefined;
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
  const { scan, filter, keys, aggregates, plan } = question;
  if (!isPushableScan(scan) || plan.sets !== undefined) return undefined;
  const draft = new Draft(scan);
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
  return draft.finish(pushed, () => output, { codec, width: codec.stored.length });
}

/** Whether rows are read by spans, and by keys that say themselves what is in them. */
function isPushableScan({ points, index, withRowId }: TableScan): boolean {
  return !points && !withRowId && (index === undefined || (index.covering && !index.single));
}

/** Which conditions go. */
function split(
  draft: Draft,
  filter: Expression | undefined,
): {
  readonly pushed: Json[];
  readonly conditions: Expression[];
  readonly rest: Expression[];
} {
  const pushed: Json[] = [];
  const conditions: Expression[] = [];
  const rest: Expression[] = [];
  for (const one of conjuncts(filter)) {
    const mayGo = rest.length === 0 || cannotFail(one);
    const encoded = mayGo ? draft.tryEncode(one) : undefined;
    if (encoded === undefined) rest.push(one);
    else {
      pushed.push(encoded);
      conditions.push(one);
    }
  }
  return { pushed, conditions, rest };
}

/** Whether a good part of each row is not wanted. */
function narrows({ store, index }: TableScan, wanted: readonly boolean[]): boolean {
  if (index !== undefined) return false;
  return store.codec.stored.some(
    ({ index: column, form }) =>
      column >= 0 && wanted[column] !== true && (form === 'text' || typeof form === 'object'),
  );
}

/** A program in the making: which columns it reads, and what is computed for it beforehand. */
class Draft implements ExpressionScope {
  private readonly scan: TableScan;
  private readonly places = new Map<number, number>();
  /** Columns that something computes with, or that lie in a key: their types must be known there. */
  private readonly computed = new Set<number>();
  private parameters: Expression[] = [];
  private passing = false;

  constructor(scan: TableScan) {
    this.scan = scan;
  }

  place(column: number): number {
    let place = this.places.get(column);
    if (place === undefined) {
      place = this.places.size;
      this.places.set(column, place);
    }
    if (!this.passing) this.computed.add(column);
    return place;
  }

  parameter(expression: Expression): number {
    return this.parameters.push(expression) - 1;
  }

  /** As `encodeExpression`; what was noted for one that cannot be encoded is forgotten. */
  tryEncode(expression: Expression): Json | undefined {
    const { length } = this.parameters;
    const encoded = encodeExpression(expression, this);
    if (encoded === undefined) this.parameters = this.parameters.slice(0, length);
    return encoded;
  }

  /** How an output column leaves. */
  formOf(column: number): FormText {
    const type = this.typeOf(column);
    // What a key holds is read as what it is.
    const inKey =
      this.scan.index !== undefined || this.keyColumns().some(({ index }) => index === column);
    return this.computed.has(column) || inKey ? type.oid : passingForm(rowFormOf(type));
  }

  finish(
    filter: readonly Json[],
    outputOf: () => ProgramText['output'],
    result: PushedProgram['result'],
    keys: Pick<ProgramText, 'probe' | 'against'> = { probe: [], against: [] },
  ): PushedProgram | undefined {
    const { scan, parameters } = this;
    this.passing = true;
    const output = outputOf();
    const source = this.source();
    if (source === undefined) return undefined;
    const text: ProgramText = {
      source,
      width: this.places.size,
      parameters: parameters.map(({ type }) => type.oid),
      filter:
        filter.length === 0
          ? null
          : filter.length === 1
            ? (filter[0] ?? null)
            : { k: 'and', t: 16, m: -1, a: filter },
      output,
      ...keys,
    };
    const fixed = Buffer.from(JSON.stringify(text), 'utf8');
    if (fixed.length > programBytesMax / 2) return undefined;
    return {
      scan,
      fixed,
      parameters: parameters.map(evaluatorOf),
      parameterCodec: valuesCodec(parameters.map(({ type }) => rowFormOf(type))),
      result,
    };
  }

  private source(): ProgramText['source'] | undefined {
    const { scan } = this;
    const { store, index } = scan;
    const keyColumns = this.keyColumns();
    let last = keyColumns.length - 1;
    while (last >= 0 && !this.places.has(keyColumns[last]?.index ?? -1)) last--;
    const read = keyColumns.slice(0, last + 1);
    if (!read.every(({ type }) => isPushableType(type))) return undefined;
    const key = read.map(
      ({ index: column, type }) => [this.places.get(column) ?? -1, type.oid] as const,
    );
    if (index === undefined) {
      const stored = store.codec.stored.map(({ index: column, form, missing }) => {
        const place = column < 0 ? -1 : (this.places.get(column) ?? -1);
        if (place < 0) return [-1, passingForm(form), null] as const;
        const type = this.typeOf(column);
        const formText = this.formOf(column);
        // Of bytes that pass through, the same bytes.
        const text = missing === null ? null : textOfDatum(type, missing);
        return [place, formText, text] as const;
      });
      return { kind: 'rows', prefix: store.indexPrefix.length, key, stored };
    }
    const { types, prefix } = index.store;
    if (!types.every(isPushableType)) return undefined;
    const parts = types.map((type, i) => {
      const column = scan.parts[i]?.column ?? -1;
      const { descending = false, nullsFirst = false } = index.store.index.columns[i] ?? {};
      return [this.places.get(column) ?? -1, type.oid, descending, nullsFirst] as const;
    });
    return { kind: 'entries', prefix: prefix.length, parts, key };
  }

  private keyColumns(): TableScan['store']['keyColumns'] {
    return this.scan.store.keyColumns;
  }

  typeOf(column: number): SqlType {
    const type = this.scan.store.table.columns[column]?.type;
    if (type === undefined) throw new RangeError('column of a table');
    return type;
  }
}
