import type { Expression } from '../bind/expression.ts';
import { evaluatorOf } from '../execute/evaluate.ts';
import {
  type ExpressionScope,
  encodeExpression,
  type Json,
} from '../execute/push/expression-text.ts';
import type { PlannedProgram } from '../execute/push/planned-program.ts';
import {
  type FormText,
  type ProgramText,
  passingForm,
  programBytesMax,
} from '../execute/push/program.ts';
import { isPushableType, rowFormOf, textOfDatum, valuesCodec } from '../execute/push/pushable.ts';
import { baseType } from '../types/domain.ts';
import type { SqlType } from '../types/type.ts';
import type { TableScan } from './plan.ts';

/** A program in the making: which columns it reads, and what is computed for it beforehand. */
export class ProgramDraft implements ExpressionScope {
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
    keys: Pick<ProgramText, 'probe' | 'against'> = { probe: [], against: [] },
  ): PlannedProgram | undefined {
    const { parameters } = this;
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
      fixed,
      parameters: parameters.map(evaluatorOf),
      parameterCodec: valuesCodec(parameters.map(({ type }) => rowFormOf(type))),
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
    return baseType(type);
  }
}
