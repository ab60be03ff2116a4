/**
 * Runs programs over pairs: at stores, which get this handed in, and at whoever asked, for pairs that no store has
 * evaluated. The expressions are compiled by the executor's own compiler. Programs have no session: one that asks for it
 * after all is given up, and whoever asked evaluates it with one.
 */
import { KeyReader } from '@flotilla/base';
import type { Expression } from '../../bind/expression.ts';
import { type AggregateSignature, aggregates } from '../../functions/aggregates.ts';
import type { EvalContext } from '../../functions/signature.ts';
import type { Datum } from '../../session-api.ts';
import { SqlError } from '../../sql-error.ts';
import { entryValues } from '../../storage/index-store.ts';
import { RowCodec, type StoredColumn } from '../../storage/row-codec.ts';
import { readKeyValue } from '../../storage/table-store.ts';
import type { RowForm } from '../../types/codec.ts';
import type { SqlType } from '../../types/type.ts';
import { type Evaluator, evaluatorOf, type Row } from '../evaluate.ts';
import { type GroupingPlan, GroupTable, noOverflow } from '../group-table.ts';
import { type HashKey, sharedHashKey } from '../hash-key.ts';
import { MemoryAccount } from '../run.ts';
import { Holding } from '../spill/spilling.ts';
import {
  countOf,
  decodeExpression,
  listOf,
  objectOf,
  textOf,
  typeOf,
  UnknownProgram,
} from './expression-text.ts';
import { KeyFilter } from './key-filter.ts';
import { type ComputedValue, type NewRow, newRowOf, newValue } from './new-row.ts';
import { decodeProgram, type ProgramRun } from './program.ts';
import { bytesForm, datumOfText, isPushableType, rowFormOf, valuesCodec } from './pushable.ts';
import { ResultWriter } from './result.ts';
import { type SampleOutput, Sampling, sampleOutputOf } from './sampling.ts';

/** As the stores' own interfaces have it. */
export interface StorePrograms {
  start(program: Uint8Array): RunningProgram | undefined;
  compute(program: Uint8Array, key: Uint8Array, value: Uint8Array): ComputedValue | undefined;
}

export interface RunningProgram {
  take(key: Uint8Array, value: Uint8Array): boolean;
  finish(): Uint8Array | undefined;
}

/** Bytes of one answer, about, and its rows or groups: they are written, and read, in one turn of the loop. */
const resultBytesMax = 512 * 1024;
const resultRowsMax = 2_000;
/** Fixed parts that are kept compiled. */
const compiledMax = 256;

/** Thrown where a program turns out to depend on the session. */
class SessionNeeded extends Error {}

/** What programs are evaluated with where there is no session. */
class Nobody implements EvalContext {
  readonly parameters: readonly Datum[];
  readonly subqueries: undefined = undefined;

  constructor(parameters: readonly Datum[]) {
    this.parameters = parameters;
  }

  get zone(): never {
    throw new SessionNeeded();
  }
  get extraFloatDigits(): never {
    throw new SessionNeeded();
  }
  get now(): never {
    throw new SessionNeeded();
  }
  get dateOrder(): never {
    throw new SessionNeeded();
  }
  get byteaOutput(): never {
    throw new SessionNeeded();
  }
  get names(): never {
    throw new SessionNeeded();
  }
  get user(): never {
    throw new SessionNeeded();
  }
  get database(): never {
    throw new SessionNeeded();
  }
  get statementStart(): never {
    throw new SessionNeeded();
  }
  get catalog(): never {
    throw new SessionNeeded();
  }
  get arguments(): never {
    throw new SessionNeeded();
  }
  get root(): never {
    throw new SessionNeeded();
  }
  clockTime(): never {
    throw new SessionNeeded();
  }
  setting(): never {
    throw new SessionNeeded();
  }
}

interface Compiled {
  readonly decode: (key: Uint8Array, value: Uint8Array) => Datum[];
  readonly parameters: RowCodec;
  readonly filter: Evaluator | undefined;
  readonly probe:
    | { readonly keys: readonly Evaluator[]; readonly hash: (row: Row) => HashKey }
    | undefined;
  readonly output:
    | { readonly kind: 'columns'; readonly places: readonly number[]; readonly codec: RowCodec }
    | { readonly kind: 'groups'; readonly plan: GroupingPlan; readonly codec: RowCodec }
    | SampleOutput
    | NewRow;
}

/** What understands the programs of this version. */
export function createStorePrograms(): StorePrograms {
  const cache = new ProgramCache();
  return {
    start(program) {
      try {
        return startProgram(cache, program, (parameters) => new Nobody(parameters));
      } catch {
        // Whatever is wrong with it is wrong with the program: whoever sent it can do without.
        return undefined;
      }
    },
    compute(program, key, value) {
      try {
        const run = decodeProgram(program);
        const { decode, filter, output, parameters } = cache.compile(run.fixed);
        if (output.kind !== 'row') return undefined;
        const context = new Nobody(valuesOf(parameters, run.parameters));
        const row = decode(key, value);
        if (filter !== undefined && filter(row, context) !== true) return undefined;
        return newValue(output, row, context);
      } catch {
        // It meets an error, say: whoever sent it does the same by itself, and finds out which.
        return undefined;
      }
    },
  };
}

function valuesOf(codec: RowCodec, bytes: Uint8Array): Datum[] {
  const values: Datum[] = codec.stored.map(() => null);
  codec.decodeInto(
    values,
    bytes,
    values.map(() => true),
  );
  return values;
}

/** @throws UnknownProgram and whatever a damaged program meets */
export function startProgram(
  cache: ProgramCache,
  program: Uint8Array,
  context: (parameters: readonly Datum[]) => EvalContext,
): RunningProgram {
  const run = decodeProgram(program);
  const compiled = cache.compile(run.fixed);
  if (compiled.output.kind === 'sample') return new Sampling(compiled.output);
  return new Running(compiled, run, context(valuesOf(compiled.parameters, run.parameters)));
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

class Running implements RunningProgram {
  private readonly compiled: Compiled;
  private readonly context: EvalContext;
  private readonly limit: number;
  private readonly keys: KeyFilter | undefined;
  private readonly groups: GroupTable | undefined;
  private readonly result: ResultWriter;
  private readonly memory = new Holding(new MemoryAccount(Number.POSITIVE_INFINITY));
  private taken = 0;
  private error: SqlError | undefined;
  private unable = false;

  constructor(compiled: Compiled, run: ProgramRun, context: EvalContext) {
    const { output } = compiled;
    if (output.kind === 'row' || output.kind === 'sample')
      throw new UnknownProgram('not a program over rows');
    this.compiled = compiled;
    this.context = context;
    this.limit = run.limit === 0 ? Number.POSITIVE_INFINITY : run.limit;
    this.keys = run.keys.length === 0 ? undefined : new KeyFilter(run.keys);
    this.groups =
      output.kind === 'groups' ? new GroupTable(output.plan, this.memory, true) : undefined;
    this.result = new ResultWriter(output.codec);
  }

  take(key: Uint8Array, value: Uint8Array): boolean {
    const { filter, probe, output, decode } = this.compiled;
    const { context, groups, result } = this;
    try {
      const row = decode(key, value);
      if (filter !== undefined && filter(row, context) !== true) return true;
      if (this.keys !== undefined && probe !== undefined) {
        const values = probe.keys.map((one) => one(row, context));
        if (values.includes(null) || !this.keys.mayHold(probe.hash(values))) return true;
      }
      this.taken++;
      if (groups !== undefined) {
        groups.add(row, undefined, context, noOverflow);
        return groups.size < resultRowsMax && this.memory.bytes < resultBytesMax;
      }
      if (output.kind === 'columns') result.add(output.places.map((place) => row[place] ?? null));
      return this.taken < Math.min(this.limit, resultRowsMax) && result.bytes < resultBytesMax;
    } catch (error) {
      if (error instanceof SqlError) this.error = error;
      else this.unable = true;
      return false;
    }
  }

  finish(): Uint8Array | undefined {
    const { groups, result } = this;
    if (this.unable) return undefined;
    try {
      if (groups !== undefined && this.error === undefined)
        for (const group of groups.groups()) result.add(groups.partialRow(group));
      return result.finish(this.taken, this.error);
    } catch {
      return undefined;
    }
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
    return {
      kind: 'columns',
      places: columns.map(({ place }) => place),
      codec: valuesCodec(columns.map(({ form }) => form)),
    };
  }
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
