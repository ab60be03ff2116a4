/**
 * A history of reads and writes of single keys, and the check that it is linearizable with every write taking effect at
 * most once. Stores give every version a timestamp that orders the versions of a key, so the check needs no search:
 * the order of versions is known, and time must agree with it.
 */

export type Operation =
  /** `timestamp` 0: not known whether it was made. */
  | {
      readonly kind: 'write';
      readonly key: string;
      readonly value: string;
      readonly start: number;
      readonly end: number;
      readonly timestamp: number;
    }
  /** A write that surely was not made. */
  | { readonly kind: 'refused'; readonly key: string; readonly value: string }
  /** `timestamp` 0: the key was absent. */
  | {
      readonly kind: 'read';
      readonly key: string;
      readonly value: string | undefined;
      readonly start: number;
      readonly end: number;
      readonly timestamp: number;
    };

/** @returns what is wrong, in words; empty if nothing is */
export function faultsOf(history: readonly Operation[]): string[] {
  const faults: string[] = [];
  const keys = new Set(history.map((operation) => operation.key));
  for (const key of keys)
    checkKey(
      key,
      history.filter((operation) => operation.key === key),
      faults,
    );
  return faults;
}

function checkKey(key: string, history: readonly Operation[], faults: string[]): void {
  const fault = (text: string): void => void faults.push(`${key}: ${text}`);
  const timestampOf = new Map<string, number>();
  const versionAt = new Map<number, string>();
  const startOf = new Map<string, number>();
  const refused = new Set<string>();
  const sees = (value: string, timestamp: number): void => {
    const known = timestampOf.get(value);
    if (known !== undefined && known !== timestamp)
      fault(`${value} took effect twice: at ${known} and ${timestamp}`);
    timestampOf.set(value, timestamp);
    const other = versionAt.get(timestamp);
    if (other !== undefined && other !== value)
      fault(`${other} and ${value} are both the version of ${timestamp}`);
    versionAt.set(timestamp, value);
  };
  for (const operation of history) {
    if (operation.kind === 'refused') refused.add(operation.value);
    if (operation.kind !== 'write') continue;
    startOf.set(operation.value, operation.start);
    if (operation.timestamp > 0) sees(operation.value, operation.timestamp);
  }
  for (const operation of history) {
    if (operation.kind !== 'read' || operation.value === undefined) continue;
    sees(operation.value, operation.timestamp);
    const start = startOf.get(operation.value);
    if (refused.has(operation.value)) fault(`${operation.value} was refused and is there`);
    else if (start === undefined || start > operation.end)
      fault(`${operation.value} was read before it was written`);
  }
  // What had ended before an operation began bounds the version that the operation may be or see.
  const timed = history.filter(
    (operation) =>
      operation.kind !== 'refused' && (operation.kind === 'read' || operation.timestamp > 0),
  ) as Extract<Operation, { timestamp: number }>[];
  const byEnd = timed.toSorted((a, b) => a.end - b.end);
  let newest = 0;
  let next = 0;
  for (const operation of timed.toSorted((a, b) => a.start - b.start)) {
    for (let ended = byEnd[next]; ended !== undefined && ended.end < operation.start; ) {
      newest = Math.max(newest, ended.timestamp);
      ended = byEnd[++next];
    }
    const stale =
      operation.kind === 'write' ? operation.timestamp <= newest : operation.timestamp < newest;
    if (stale)
      fault(
        `${operation.kind} of ${operation.value} at ${operation.timestamp} comes after ${newest}, ` +
          `${operation.start}..${operation.end}`,
      );
  }
}
