/**
 * Runs programs over pairs: at stores, which get this handed in, and at whoever asked, for pairs that no store has
 * evaluated. The expressions are compiled by the executor's own compiler. Programs have no session: one that asks for it
 * after all is given up, and whoever asked evaluates it with one.
 */
import type { EvalContext } from '../../functions/signature.ts';
import type { Datum } from '../../session-api.ts';
import { SqlError } from '../../sql-error.ts';
import type { RowCodec } from '../../storage/row-codec.ts';
import { GroupTable, noOverflow } from '../group-table.ts';
import { MemoryAccount } from '../run.ts';
import { Holding } from '../spill/spilling.ts';
import { type Compiled, ProgramCache } from './compile-program.ts';
import { UnknownProgram } from './expression-text.ts';
import { KeyFilter } from './key-filter.ts';
import { type ComputedValue, newValue } from './new-row.ts';
import { decodeProgram, type ProgramRun } from './program.ts';
import { ResultWriter } from './result.ts';
import { Sampling } from './sampling.ts';

/** As the stores' own interfaces have it. */
export interface StorePrograms {
  start(program: Uint8Array): RunningProgram | undefined;
  compute(program: Uint8Array, key: Uint8Array, value: Uint8Array): ComputedValue | undefined;
}

export interface RunningProgram {
  /** @param position of the key among those of a get; nothing else asks for it */
  take(key: Uint8Array, value: Uint8Array, position: number): boolean;
  finish(): Uint8Array | undefined;
}

/** Bytes of one answer, about, and its rows or groups: they are written, and read, in one turn of the loop. */
const resultBytesMax = 512 * 1024;
const resultRowsMax = 2_000;

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

  take(key: Uint8Array, value: Uint8Array, position: number): boolean {
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
      if (output.kind === 'columns') {
        const out = output.places.map((place) => row[place] ?? null);
        if (output.positions) out.push(position);
        result.add(out);
      } else if (output.kind === 'keys') result.add([value]);
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
