/**
 * Writes to keys that nobody else knows of, as committed versions without intents, a bounded part at a time and some parts at
 * once. All or nothing it is not: after an error some of it is written, and the caller knows how to take that back.
 */
import { DbError } from '@flotilla/base';
import type { Router, WriteCondition, WriteMutation } from '@flotilla/router';
import type { OwnWrite } from './write-buffer.ts';

/** Of one part: what one entry of a range's log is made of. Others' entries wait for it. */
const partBytesMax = 256 * 1024;
const partKeysMax = 1_000;
/** Parts under way at once: as many as keep disks busy. */
const partsMax = 4;
/** Until a part is acknowledged, an election on the way. Nothing goes on before. Unit: ms. */
const partTimeoutMs = 20_000;

export interface DirectWriteOptions {
  /** Versions carry later timestamps. */
  readonly after: number;
  /** No further part is begun. Those that are under way are waited for. */
  readonly signal: AbortSignal | undefined;
}

/**
 * @param writes in key order, one for each key
 * @throws DbError: KEY_EXISTS where a key is there that must be absent; OUTCOME_UNKNOWN where a part may yet arrive
 */
export async function writeDirectly(
  router: Pick<Router, 'write'>,
  writes: Iterable<OwnWrite> | AsyncIterable<OwnWrite>,
  options: DirectWriteOptions,
): Promise<void> {
  const underWay = new Set<Promise<void>>();
  let failed: { readonly error: unknown } | undefined;
  const begin = (part: readonly OwnWrite[]): void => {
    const work: Promise<void> = writePart(router, part, options)
      .catch((error: unknown) => {
        // Whether something may yet arrive is what the caller has to know first of all.
        if (failed === undefined || isUnknown(error)) failed = { error };
      })
      .finally(() => underWay.delete(work));
    underWay.add(work);
  };
  let part: OwnWrite[] = [];
  let bytes = 0;
  try {
    for await (const write of writes) {
      const size = write.key.length + (write.value?.length ?? 0);
      if (part.length >= partKeysMax || (part.length > 0 && bytes + size > partBytesMax)) {
        begin(part);
        [part, bytes] = [[], 0];
        while (underWay.size >= partsMax) await Promise.race(underWay);
        if (failed !== undefined) break;
        if (options.signal?.aborted === true) throw cancelled();
      }
      part.push(write);
      bytes += size;
    }
    if (part.length > 0 && failed === undefined) begin(part);
  } finally {
    await Promise.all(underWay);
  }
  if (failed !== undefined) throw failed.error;
}

async function writePart(
  router: Pick<Router, 'write'>,
  part: readonly OwnWrite[],
  options: DirectWriteOptions,
): Promise<void> {
  const conditions: WriteCondition[] = [];
  const mutations: WriteMutation[] = [];
  for (const { key, value, mustBeAbsent } of part) {
    if (mustBeAbsent) conditions.push({ kind: 'absent', key });
    mutations.push(value === undefined ? { kind: 'delete', key } : { kind: 'put', key, value });
  }
  try {
    const batch = { conditions, mutations, deleteSpans: [] };
    const outcome = await router.write(batch, { timeoutMs: partTimeoutMs });
    if (!outcome.applied) {
      const key = conditions[outcome.failedCondition]?.key;
      const fields = key === undefined ? {} : { key };
      throw new DbError('KEY_EXISTS', 'the key is there already', fields);
    }
    // The frame has told the store of it: its clock cannot be behind.
    if (outcome.timestamp <= options.after)
      throw new DbError('CONFLICT', 'a write was made before one that it follows');
  } catch (error) {
    const several = error instanceof DbError && error.code === 'NOT_SUPPORTED' && part.length > 1;
    if (!several) throw error;
    // It crosses the bound of two ranges.
    const middle = part.length >>> 1;
    await writePart(router, part.slice(0, middle), options);
    await writePart(router, part.slice(middle), options);
  }
}

export function isUnknown(error: unknown): boolean {
  return error instanceof DbError && error.outcome === 'unknown';
}

function cancelled(): DbError {
  return new DbError('CANCELLED', 'the caller cancelled');
}
