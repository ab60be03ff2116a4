/** When operators spill. Whoever holds next to nothing leaves it to those that hold more. */
import type { MemoryAccount, Run } from '../run.ts';
import type { SpillSpace } from './spill-space.ts';

/** Of what a statement may hold: less is not worth a file. */
const leastShare = 1 / 48;

/**
 * The statement holds too much, and the operator so much of it.
 * @returns false: let it go on; others, or the limit, will see to it. Throws 53200 where there is no room outside of memory
 */
export function canSpill(run: Run, held: number): boolean {
  if (run.spill !== undefined) return held >= run.memory.spillAt * leastShare;
  run.memory.check();
  return false;
}

export function spaceOf(run: Run): SpillSpace {
  if (run.spill === undefined) throw new RangeError('canSpill was asked');
  return run.spill;
}

/** What one part of an operator holds, so that all of it can be let go at once. */
export class Holding {
  bytes = 0;
  private readonly memory: MemoryAccount;

  constructor(memory: MemoryAccount) {
    this.memory = memory;
  }

  /** @returns false: the statement holds too much now */
  take(bytes: number): boolean {
    this.bytes += bytes;
    return this.memory.take(bytes);
  }

  /** Throws 53200. */
  add(bytes: number): void {
    this.bytes += bytes;
    this.memory.add(bytes);
  }

  release(): void {
    this.memory.release(this.bytes);
    this.bytes = 0;
  }
}
