/**
 * Runs the program of a read over what a snapshot shows of a span or of keys: a slice of the loop's time after the other, up
 * to the bounds of one answer. The lease, the snapshot and what is in the way of it are the business of whoever calls.
 */
import type { Clock } from '@flotilla/base';
import type { StoreLimits } from '../limits.ts';
import type { ScanEnd } from '../transaction/version-scan.ts';
import type { ProgramSlots } from './program-slots.ts';
import type { ReadProgram } from './read-programs.ts';
import type { RowSource } from './row-sources.ts';

type Limits = Pick<
  StoreLimits,
  'programRowsMax' | 'programMs' | 'programSliceMs' | 'programRowsFree'
>;

export type ProgramOutcome =
  /** `last` is the key of the last row that counts; undefined: there was none. */
  | {
      readonly kind: 'done';
      readonly result: Uint8Array;
      readonly rowsRead: number;
      readonly last: Uint8Array | undefined;
      readonly complete: boolean;
    }
  | { readonly kind: 'uncertain'; readonly timestamp: number }
  | { readonly kind: 'refused' };

/** Rows between two looks at the clock. */
const rowsPerLook = 32;

export async function runProgram(
  clock: Clock,
  limits: Limits,
  slots: ProgramSlots,
  { rows, program }: { readonly rows: RowSource; readonly program: ReadProgram },
): Promise<ProgramOutcome> {
  const turns = new Turns(clock, limits, slots);
  let rowsRead = 0;
  let last: Uint8Array | undefined;
  let end: ScanEnd;
  try {
    end = await rows.each(
      (key, value, position) => {
        rowsRead++;
        last = key;
        return (
          program.take(key, value, position) && rowsRead < limits.programRowsMax && !turns.areOver
        );
      },
      { rows: rowsPerLook, rest: () => turns.rest() },
    );
  } finally {
    turns.end();
  }
  if (end.kind === 'uncertain') return end;
  const result = program.finish();
  if (result === undefined) return { kind: 'refused' };
  return { kind: 'done', result, rowsRead, last, complete: end.kind === 'complete' };
}

/** One program's share of the loop. Short ones take no slot; a longer one that gets none ends with what it has done. */
class Turns {
  areOver = false;
  private readonly clock: Clock;
  private readonly limits: Limits;
  private readonly slots: ProgramSlots;
  private beganAt: number;
  private sliceBegan: number;
  private looks = 0;
  private hasSlot = false;

  constructor(clock: Clock, limits: Limits, slots: ProgramSlots) {
    this.clock = clock;
    this.limits = limits;
    this.slots = slots;
    this.beganAt = clock.nowMs();
    this.sliceBegan = this.beganAt;
  }

  /** Asked after every `rowsPerLook` keys. */
  rest(): Promise<void> | undefined {
    const { clock, limits } = this;
    this.looks++;
    if (!this.hasSlot && !this.areOver && this.looks * rowsPerLook >= limits.programRowsFree)
      return this.takeSlot();
    const now = clock.nowMs();
    if (now - this.beganAt >= limits.programMs) this.areOver = true;
    if (now - this.sliceBegan < limits.programSliceMs) return undefined;
    return new Promise((resolve) => {
      clock.afterTurn(() => {
        this.sliceBegan = clock.nowMs();
        resolve();
      });
    });
  }

  end(): void {
    if (this.hasSlot) this.slots.leave();
    this.hasSlot = false;
  }

  private async takeSlot(): Promise<void> {
    this.hasSlot = await this.slots.enter();
    if (!this.hasSlot) this.areOver = true;
    this.beganAt = this.clock.nowMs();
    this.sliceBegan = this.beganAt;
  }
}
