/**
 * A program that workloads send along with a read of keys: it hands back the values as they are, with the positions of their
 * keys. So workloads and checkers see what a store shows to programs. Stores run it beside those of SQL.
 */
import type { ReadProgram } from '@flotilla/shard';

export const reading: Uint8Array = Buffer.from('simulated read');

export interface ReadValue {
  readonly position: number;
  readonly value: string;
}

/** Undefined: another program. */
export function startReading(program: Uint8Array): ReadProgram | undefined {
  if (Buffer.compare(program, reading) !== 0) return undefined;
  const values: ReadValue[] = [];
  return {
    take: (_key, value, position) => {
      values.push({ position, value: Buffer.from(value).toString() });
      // An answer ends with its first row, so that what is left has to be asked for again.
      return false;
    },
    finish: () => Buffer.from(JSON.stringify(values)),
  };
}

export function valuesRead(result: Uint8Array): readonly ReadValue[] {
  return JSON.parse(Buffer.from(result).toString()) as readonly ReadValue[];
}
