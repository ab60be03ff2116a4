/** A program that workloads send along with a write: a value grows by an element. Stores run it beside those of SQL. */
import type { StorePrograms } from '@flotilla/shard';
import { startReading } from './reading.ts';

/** Longer values do not grow. Unit: bytes. */
const valueBytesMax = 400;

/** @param name the transaction's, with which the new value begins */
export function growth({ name, element }: { name: string; element: string }): Buffer {
  return Buffer.from(`${name}|${element}`);
}

/** Programs of a simulated store. */
export function withGrowth(programs: StorePrograms): StorePrograms {
  return {
    start: (program) => startReading(program) ?? programs.start(program),
    compute: (program, _key, value) => {
      const [name = '', element = ''] = Buffer.from(program).toString().split('|');
      const before = Buffer.from(value).toString();
      if (before.length > valueBytesMax) return undefined;
      const payload = before.slice(before.indexOf('|') + 1);
      return { kind: 'put', value: Buffer.from(`${name}|${payload},${element}`) };
    },
  };
}
