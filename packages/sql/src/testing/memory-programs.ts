/** Programs of stores over the rows of a KvDatabase in memory, in answers that are small, so that they have to be put together. */

import { keySuccessor } from '@flotilla/base';
import { createStorePrograms } from '../execute/push/evaluate-program.ts';
import type { EvaluatedKeys, EvaluatedPart, KvPair } from '../kv-transaction.ts';
import type { MemoryStore } from './memory-store.ts';

export const programs: ReturnType<typeof createStorePrograms> = createStorePrograms();
/** Rows of one answer of a program. */
const evaluatedRows = 100;
/** Keys of one answer of a program over keys. */
const evaluatedKeys = 5;

type Counts = MemoryStore['evaluated'];

export interface OwnScan {
  /** The transaction has written there: the rows themselves come back. */
  readonly isOwn: boolean;
  readonly scan: AsyncIterable<readonly KvPair[]>;
}

interface ProgramScans {
  readonly program: Uint8Array;
  readonly reverse: boolean;
  readonly evaluated: Counts;
}

export async function* evaluateScans(
  begun: readonly OwnScan[],
  { program, reverse, evaluated }: ProgramScans,
): AsyncGenerator<EvaluatedPart> {
  for (const { isOwn, scan } of begun)
    for await (const pairs of scan)
      for (let at = 0; at < pairs.length; ) {
        const running = isOwn ? undefined : programs.start(program);
        let next = at;
        while (running !== undefined && next < pairs.length) {
          const pair = pairs[next++];
          if (pair === undefined || !running.take(pair.key, pair.value, next - at - 1)) break;
          if (next - at >= evaluatedRows) break;
        }
        const result = running?.finish();
        if (result === undefined) next = pairs.length;
        else evaluated.parts++;
        const part = pairs.slice(at, next);
        at = next;
        yield {
          result,
          pairs: result === undefined ? part : [],
          rowsRead: part.length,
          from: { rangeId: 1, storeId: 1 },
          next: nextOf(part, reverse),
        };
      }
}

/** As two ranges do it, which have every other key in no order that the caller knows. */
export async function* evaluateKeys(
  {
    keys,
    values: read,
    isOwn,
  }: {
    readonly keys: readonly Uint8Array[];
    readonly values: () => Promise<readonly (Uint8Array | undefined)[]>;
    /** Whether the transaction has written the key. */
    readonly isOwn: (key: Uint8Array) => boolean;
  },
  program: Uint8Array,
  evaluated: Counts,
): AsyncGenerator<EvaluatedKeys> {
  const values = await read();
  const places: [number[], number[], number[]] = [[], [], []];
  keys.forEach((key, i) => {
    places[isOwn(key) ? 0 : 1 + ((key.at(-1) ?? 0) % 2)]?.push(i);
  });
  for (const [range, positions] of places.entries())
    for (let at = 0; at < positions.length; ) {
      const running = range === 0 ? undefined : programs.start(program);
      const from = at;
      let rowsRead = 0;
      while (at < positions.length && at - from < evaluatedKeys) {
        const position = positions[at] ?? 0;
        const [key, value] = [keys[position], values[position]];
        const place = at++ - from;
        if (key === undefined || value === undefined) continue;
        rowsRead++;
        if (running?.take(key, value, place) === false) break;
      }
      const result = running?.finish();
      if (result !== undefined) {
        evaluated.parts++;
        evaluated.ofKeys++;
      }
      const some = positions.slice(from, at);
      yield {
        positions: some,
        result,
        values: result === undefined ? some.map((position) => values[position]) : [],
        rowsRead: range === 0 ? 0 : rowsRead,
        from: range === 0 ? undefined : { rangeId: range, storeId: range },
      };
    }
}

/** Where what follows a part begins, or ends where the scan goes backwards. */
function nextOf(part: readonly KvPair[], reverse: boolean): Uint8Array | undefined {
  const key = part[part.length - 1]?.key;
  return key === undefined || reverse ? key : keySuccessor(key);
}
