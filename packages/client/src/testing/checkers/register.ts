/**
 * A register: one key that is read, written, or written on condition that it holds a given value. `undefined` is the
 * value of an absent key. With written values that are all different and no conditions, zones decide without a search.
 */
import type { Operation, Verdict } from './history.ts';
import type { Model } from './linearizability.ts';

export type RegisterInput =
  | { readonly kind: 'read' }
  | { readonly kind: 'write'; readonly value: string }
  /** Writes `value` if the register holds `expected`. */
  | { readonly kind: 'cas'; readonly expected: string | undefined; readonly value: string };

/** `read` gives the value, `write` nothing, `cas` whether it wrote. */
export type RegisterOutput =
  | { readonly kind: 'value'; readonly value: string | undefined }
  | { readonly kind: 'written' }
  | { readonly kind: 'cas'; readonly applied: boolean };

export type RegisterOperation = Operation<RegisterInput, RegisterOutput>;

export const registerModel: Model<string | undefined, RegisterInput, RegisterOutput> = {
  initial: undefined,
  step(state, input, output) {
    switch (input.kind) {
      case 'read':
        return output === undefined || (output.kind === 'value' && output.value === state)
          ? { state }
          : undefined;
      case 'write':
        return { state: input.value };
      case 'cas': {
        const applies = state === input.expected;
        if (output?.kind === 'cas' && output.applied !== applies) return undefined;
        return { state: applies ? input.value : state };
      }
    }
  },
  fingerprint: (state) => (state === undefined ? '-' : `=${state}`),
};

interface Cluster {
  readonly value: string | undefined;
  /** Call of the write; -∞ for the value that was there before. */
  readonly writtenFrom: number;
  /** Earliest return and latest call among the write and the reads of its value. */
  firstReturn: number;
  lastCall: number;
  reads: number;
}

/**
 * Zones of Gibbons and Korach ("Testing shared memories", 1997): reads and unconditional writes of values that are all
 * different. Decides at any concurrency in O(n log n). Throws on a conditional write or a value written twice.
 */
export function checkRegisterZones(history: readonly RegisterOperation[]): Verdict {
  const clusters = new Map<string | undefined, Cluster>();
  clusters.set(undefined, {
    value: undefined,
    writtenFrom: Number.NEGATIVE_INFINITY,
    firstReturn: Number.NEGATIVE_INFINITY,
    lastCall: Number.NEGATIVE_INFINITY,
    reads: 0,
  });
  for (const { input, calledAt, result } of history) {
    if (input.kind === 'read') continue;
    if (input.kind === 'cas') throw new RangeError('zones cannot judge conditional writes');
    if (clusters.has(input.value)) throw new RangeError(`${input.value} is written twice`);
    clusters.set(input.value, {
      value: input.value,
      writtenFrom: calledAt,
      firstReturn: result.kind === 'ok' ? result.returnedAt : Number.POSITIVE_INFINITY,
      lastCall: calledAt,
      reads: 0,
    });
  }
  for (const { process, input, calledAt, result } of history) {
    if (input.kind !== 'read' || result.kind !== 'ok' || result.output.kind !== 'value') continue;
    const { value } = result.output;
    const cluster = clusters.get(value);
    if (cluster === undefined || result.returnedAt < cluster.writtenFrom)
      return bad(`${process} read ${value} before anybody wrote it`);
    cluster.firstReturn = Math.min(cluster.firstReturn, result.returnedAt);
    cluster.lastCall = Math.max(cluster.lastCall, calledAt);
    cluster.reads++;
  }
  // A write of unknown outcome that nobody read need not have happened.
  return checkZones([...clusters.values()].filter((c) => c.firstReturn < Number.POSITIVE_INFINITY));
}

function checkZones(clusters: readonly Cluster[]): Verdict {
  const byStart = (a: Cluster, b: Cluster): number => a.firstReturn - b.firstReturn;
  // Forward: the value was surely there all the time from firstReturn to lastCall.
  const forward = clusters.filter((c) => c.firstReturn < c.lastCall).sort(byStart);
  for (const [index, zone] of forward.entries()) {
    const before = forward[index - 1];
    if (before !== undefined && zone.firstReturn < before.lastCall)
      return bad(`${before.value} and ${zone.value} were both the newest value at one time`);
  }
  // Backward: it was there at some instant from lastCall to firstReturn, which must not lie inside another's time.
  for (const zone of clusters) {
    if (zone.firstReturn < zone.lastCall) continue;
    const around = lastAtOrBefore(forward, zone.lastCall);
    if (
      around !== undefined &&
      around.firstReturn < zone.lastCall &&
      zone.firstReturn < around.lastCall
    )
      return bad(`${zone.value} was the newest value while ${around.value} was`);
  }
  return { kind: 'ok' };
}

/** The zone that starts last among those that start before `at`; zones in order of start. */
function lastAtOrBefore(zones: readonly Cluster[], at: number): Cluster | undefined {
  let low = 0;
  let high = zones.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((zones[middle]?.firstReturn ?? 0) < at) low = middle + 1;
    else high = middle;
  }
  return zones[low - 1];
}

function bad(message: string): Verdict {
  return { kind: 'violation', message };
}
