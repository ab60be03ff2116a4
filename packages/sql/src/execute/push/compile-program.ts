/**
 * From the fixed part of a program to what runs it: how rows are read from keys and values, and the executor's own evaluators of
 * its expressions. What names something that is not known here is refused.
 */
import { KeyReader } from '@flotilla/base';
import type { Expression } from '../../bind/expression.ts';
import { type AggregateSignature, aggregates } from '../../functions/aggregates.ts';
import type { Datum } from '../../session-api.ts';
import { entryValues } from '../../storage/index-store.ts';
import { RowCodec, type StoredColumn } from '../../storage/row-codec.ts';
import { readKeyValue } from '../../storage/table-store.ts';
import type { RowForm } from '../../types/codec.ts';
import type { SqlType } from '../../types/type.ts';
import { type Evaluator, evaluatorOf, type Row } from '../evaluate.ts';
import type { GroupingPlan } from '../group-table.ts';
import { type HashKey, sharedHashKey } from '../hash-key.ts';
import {
  countOf,
  decodeExpression,
  listOf,
  objectOf,
  textOf,
  typeOf,
  UnknownProgram,
} from './expression-text.ts';
import { type NewRow, newRowOf } from './new-row.ts';
import { bytesForm, datumOfText, isPushableType, rowFormOf, valuesCodec } from './pushable.ts';
import { type SampleOutput, sampleOutputOf } from './sampling.ts';

/** How the position of a key travels. */
export const positionForm: RowForm = 'small';
/** Of the rows in which keys of rows travel. */
export const keysCodec: RowCodec = valuesCodec([bytesForm]);
/** Fixed parts that are kept compiled. */
const compiledMax = 256;

export interface Compiled {
  readonly decode: (key: Uint8Array, value: Uint8Array) => Datum[];
  readonly parameters: RowCodec;
  readonly filter: Evaluator | undefined;
  readonly probe:
    | { readonly keys: readonly Evaluator[]; readonly hash: (row: Row) => HashKey }
    | undefined;
  readonly output:
    | {
        readonly kind: 'columns';
        readonly places: readonly number[];
        /** Behind the columns: which of a get's keys the row is of. */
        readonly positions: boolean;
        readonly codec: RowCodec;
      }
    /** Of entries of an index: the keys of their rows. */
    | { readonly kind: 'keys'; readonly codec: RowCodec }
    | { readonly kind: 'groups'; readonly plan: GroupingPlan; readonly codec: RowCodec }
    | SampleOutput
    | NewRow;
}

export class ProgramCache {
  private readonly compiled = new Map<string, Compiled>();

  compile(fixed: Buffer): Compiled {
    const text = fixed.toString('utf8');
    let known = this.compiled.get(text);
    if (known === undefined) {
      known = compile(JSON.parse(text));
      if (this.compiled.size >= compiledMax) {
        const [oldest] = this.compiled.keys();
        if (oldest !== undefined) this.compiled.delete(oldest);
      }
      this.compiled.set(text, known);
    }
    return known;
  }
}

/** @throws UnknownProgram */
function compile(json: unknown): Compiled {
  const text = objectOf(json);
  const width = countOf(text.width);
  const expression = (one: unknown): Expression => decodeExpression(one, width);
  const probe = listOf(text.probe).map(expression);
  return {
    decode: decoderOf(objectOf(text.source), width),
    parameters: valuesCodec(listOf(text.parameters).map((one) => rowFormOf(typeOf(one)))),
    filter: text.filter === null ? undefined : evaluatorOf(expression(text.filter)),
    probe: probe.length === 0 ? undefined : probeOf(probe, listOf(text.against).map(typeOf)),
    output: outputOf(objectOf(text.output), width, expression),
  };
}

function probeOf(keys: readonly Expression[], against: readonly SqlType[]): Compiled['probe'] {
  const hash = sharedHashKey(
    keys.map(({ type }) => type),
    against,
  );
  if (hash === undefined) throw new UnknownProgram('probe');
  return { keys: keys.map(evaluatorOf), hash };
}

function outputOf(
  text: Readonly<Record<string, unknown>>,
  width: number,
  expression: (json: unknown) => Expression,
): Compiled['output'] {
  if (text.kind === 'columns') {
    const columns = listOf(text.columns).map((one) => {
      const [place, form] = listOf(one);
      return { place: placeOf(place, width), form: formOf(form) };
    });
    const positions = text.positions === true;
    const forms = columns.map(({ form }) => form);
    return {
      kind: 'columns',
      places: columns.map(({ place }) => place),
      positions,
      codec: valuesCodec(positions ? [...forms, positionForm] : forms),
    };
  }
  if (text.kind === 'keys') return { kind: 'keys', codec: keysCodec };
  if (text.kind === 'sample') return sampleOutputOf(text);
  if (text.kind === 'row')
    return newRowOf(text, {
      expression,
      formOf,
      placeOf: (json, orNowhere) => placeOf(json, width, orNowhere),
    });
  if (text.kind !== 'groups') throw new UnknownProgram('output');
  const keys = listOf(text.keys).map(expression);
  const all = listOf(text.aggregates).map((one) => {
    const { name, arguments: parameters, filter } = objectOf(one);
    const signature = aggregateOfName(textOf(name));
    if (signature?.partial === undefined) throw new UnknownProgram(textOf(name));
    return {
      signature,
      parameters: listOf(parameters).map(expression),
      filter: filter === null ? undefined : evaluatorOf(expression(filter)),
    };
  });
  const plan: GroupingPlan = {
    keys: keys.map(evaluatorOf),
    keyTypes: keys.map(({ type }) => type),
    aggregates: all.map(({ signature, parameters, filter }) => ({
      signature,
      arguments: parameters.map(evaluatorOf),
      argumentTypes: parameters.map(({ type }) => type),
      distinct: false,
      filter,
      order: [],
    })),
    sets: undefined,
  };
  return { kind: 'groups', plan, codec: partialCodec(plan) };
}

/** Of the rows in which groups travel: keys, then what each aggregate hands on. */
export function partialCodec({ keyTypes, aggregates: all }: GroupingPlan): RowCodec {
  const types = [
    ...keyTypes,
    ...all.flatMap(({ signature, argumentTypes }) => signature.partial?.(argumentTypes) ?? []),
  ];
  return valuesCodec(types.map(rowFormOf));
}

function decoderOf(source: Readonly<Record<string, unknown>>, width: number): Compiled['decode'] {
  const prefix = countOf(source.prefix);
  const keys = listOf(source.key).map((one) => {
    const [place, type] = listOf(one);
    return { place: placeOf(place, width, true), type: typeOf(type) };
  });
  if (source.kind === 'rows') {
    const stored = listOf(source.stored).map((one): StoredColumn => {
      const [place, form, missing] = listOf(one);
      const index = placeOf(place, width, true);
      return { index, form: formOf(form), missing: missingOf(form, missing) };
    });
    const codec = new RowCodec(stored);
    const needed = new Array<boolean>(width).fill(true);
    return (key, value) => {
      const row = new Array<Datum>(width).fill(null);
      if (keys.length > 0) readKeys(row, keys, new KeyReader(key, prefix));
      codec.decodeInto(row, value, needed);
      return row;
    };
  }
  if (source.kind !== 'entries') throw new UnknownProgram('source');
  const parts = listOf(source.parts).map((one) => {
    const [place, type, descending, nullsFirst] = listOf(one);
    return {
      place: placeOf(place, width, true),
      type: typeOf(type),
      descending: descending === true,
      nullsFirst: nullsFirst === true,
    };
  });
  const types = parts.map(({ type }) => type);
  return (key, value) => {
    const row = new Array<Datum>(width).fill(null);
    if (keys.length > 0) readKeys(row, keys, new KeyReader(value, 0));
    const values = entryValues(key, prefix, types, parts);
    for (let i = 0; i < parts.length; i++) {
      const place = parts[i]?.place ?? -1;
      if (place >= 0) row[place] = values[i] ?? null;
    }
    return row;
  };
}

function readKeys(
  row: Datum[],
  keys: readonly { readonly place: number; readonly type: SqlType }[],
  reader: KeyReader,
): void {
  for (const { place, type } of keys) {
    const value = readKeyValue(reader, type);
    if (place >= 0) row[place] = value;
  }
}

function placeOf(json: unknown, width: number, orNowhere = false): number {
  if (orNowhere && json === -1) return -1;
  const place = countOf(json);
  if (place >= width) throw new UnknownProgram('place');
  return place;
}

const plainForms: ReadonlySet<unknown> = new Set([
  'small',
  'big',
  'float',
  'text',
  'bool',
  'int64',
]);

function formOf(json: unknown): RowForm {
  if (json === 'own') return bytesForm;
  return plainForms.has(json) ? (json as RowForm) : rowFormOf(typeOf(json));
}

function missingOf(form: unknown, missing: unknown): Datum {
  if (missing === null) return null;
  // Of a type that is not known here: the bytes as they would be stored.
  return typeof form === 'number'
    ? datumOfText(typeOf(form), textOf(missing))
    : passingDatum(form, textOf(missing));
}

function passingDatum(form: unknown, text: string): Datum {
  const row: Datum[] = [null];
  valuesCodec([formOf(form)]).decodeInto(row, Buffer.from(text, 'base64'), [true]);
  return row[0] ?? null;
}

const aggregatesByName = new Map<string, AggregateSignature>();
const aggregateNames = new Map<AggregateSignature, string>();

for (const overloads of aggregates.values())
  for (const one of overloads) {
    const name = `${one.name}(${one.parameters.map(({ oid }) => oid).join()})`;
    if (aggregatesByName.has(name)) continue;
    aggregatesByName.set(name, one);
    aggregateNames.set(one, name);
  }

/** Undefined: programs cannot compute it. */
export function nameOfAggregate(
  one: AggregateSignature,
  types: readonly SqlType[],
): string | undefined {
  return one.partial?.(types).every(isPushableType) === true ? aggregateNames.get(one) : undefined;
}

function aggregateOfName(name: string): AggregateSignature | undefined {
  return aggregatesByName.get(name);
}
