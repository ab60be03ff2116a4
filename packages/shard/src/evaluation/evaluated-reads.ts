/** The programs of a store's reads: started, given their turns, and refused where nobody knows them. */
import { type Clock, probe } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import type { StoreLimits } from '../limits.ts';
import { type Answer, RefusalReason, refusal } from '../replica/answers.ts';
import { ProgramSlots } from './program-slots.ts';
import type { ReadProgram, ReadPrograms } from './read-programs.ts';
import { GottenRows, type RowSource } from './row-sources.ts';
import { type ProgramOutcome, runProgram } from './run-program.ts';

export interface EvaluatedReadsOptions {
  readonly clock: Clock;
  readonly limits: StoreLimits;
  /** Undefined: none can be run here. */
  readonly programs: ReadPrograms | undefined;
}

export class EvaluatedReads {
  private readonly options: EvaluatedReadsOptions;
  private readonly slots: ProgramSlots;

  constructor(options: EvaluatedReadsOptions) {
    this.options = options;
    const { programsRunningMax, programsWaitingMax, programWaitMs } = options.limits;
    this.slots = new ProgramSlots(options.clock, {
      runningMax: programsRunningMax,
      waitingMax: programsWaitingMax,
      waitMs: programWaitMs,
    });
  }

  /** What a request carries along. Undefined: nothing. */
  programOf({
    program,
  }: {
    readonly program?: Uint8Array | null;
  }): ReadProgram | 'refused' | undefined {
    if (!program?.length) return undefined;
    const { programs, limits } = this.options;
    if (program.length > limits.programBytesMax) return 'refused';
    return programs?.start(program) ?? 'refused';
  }

  run(rows: RowSource, program: ReadProgram): Promise<ProgramOutcome> {
    const { clock, limits } = this.options;
    return runProgram(clock, limits, this.slots, { rows, program });
  }

  /** The answer of a get: what the program makes of values, which are as of when they were taken, however long that lasts. */
  async ofValues(
    keys: readonly Uint8Array[],
    values: readonly flotilla.kv.Value.$Properties[],
    program: ReadProgram,
  ): Promise<Answer> {
    const rows = new GottenRows(keys, values);
    const outcome = await this.run(rows, program);
    if (outcome.kind !== 'done') return programRefused();
    probe('keysEvaluated');
    const { result, rowsRead } = outcome;
    return { get: { evaluated: true, result, rowsRead, keysDone: rows.done } };
  }
}

export function programRefused(): Answer {
  return refusal(RefusalReason.PROGRAM_REFUSED, 'this store cannot run the program');
}
