/**
 * Checks histories of transactions over lists, each of which appends values that nobody else appends and reads whole
 * lists (Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations", VLDB 2020). What was
 * read tells the order of the versions, that order tells who depends on whom, and a cycle of dependencies is an anomaly:
 * by Adya's names G0 (writes alone), G1c (writes and reads of them), G-single (one anti-dependency), G2 (several); and
 * without a cycle G1a (a read of what was aborted) and G1b (of what was only in between).
 *
 * Levels may be mixed (Adya, "Weak Consistency", MIT 1999, §5.5): an anti-dependency counts where the reader is
 * serializable. Where it is said which client ran a transaction, its own order counts as a dependency; where it is said
 * when, a read must show whatever of its key was acknowledged before the reader began, and so must the order of appends.
 */

import { type Edge, type EdgeKind, edgesAmongCycles, findCycle } from './dependency-cycles.ts';

export type ListOperation =
  | { readonly kind: 'append'; readonly key: string; readonly value: number }
  | { readonly kind: 'read'; readonly key: string; readonly values: readonly number[] };

export interface ListTransaction {
  /** For the report. */
  readonly name: string;
  readonly operations: readonly ListOperation[];
  /** `unknown`: it may have been made. Its reads count for nothing. */
  readonly outcome: 'committed' | 'aborted' | 'unknown';
  /** Default: `serializable`. Of `read committed` nothing is taken back because what it read has changed. */
  readonly isolation?: 'serializable' | 'repeatable read' | 'read committed' | undefined;
  /** Who ran it. Transactions of one client that follow each other in time depend on each other. */
  readonly process?: string | undefined;
  /** When its client began it, and heard of its end; on one clock for all. */
  readonly calledAt?: number | undefined;
  readonly returnedAt?: number | undefined;
}

export type AnomalyKind =
  | 'G0'
  | 'G1a'
  | 'G1b'
  | 'G1c'
  | 'G-single'
  | 'G2'
  /** Two reads of a key that no one order of appends explains, or a value that nobody appended or that is there twice. */
  | 'incompatible-order'
  /** A transaction that does not see its own appends. */
  | 'internal'
  /** What was appended, and acknowledged, is in no later list. */
  | 'lost-append'
  /** A read began after an append was acknowledged and does not show it. */
  | 'stale-read';

export interface Anomaly {
  readonly kind: AnomalyKind;
  /** The smallest evidence: a line per step. */
  readonly witness: readonly string[];
}

/** @returns every kind of anomaly that there is, with one witness each; [] = serializable as far as anybody saw */
export function checkListAppend(history: readonly ListTransaction[]): readonly Anomaly[] {
  const anomalies = new Map<AnomalyKind, Anomaly>();
  const report = (kind: AnomalyKind, witness: readonly string[]): void => {
    if (!anomalies.has(kind)) anomalies.set(kind, { kind, witness });
  };
  const writers = writersOf(history, report);
  checkInternal(history, report);
  const orders = ordersOf(history, writers, report);
  checkReads(history, writers, report);
  checkFreshness(history, orders, report);
  const edges = edgesAmongCycles(history.length, edgesOf(history, writers, orders));
  for (const kind of ['G0', 'G1c', 'G-single', 'G2'] as const) {
    const cycle = findCycle(history.length, edges, kind);
    if (cycle === undefined) continue;
    const names = cycle.map((edge) => {
      const [from, to] = [history[edge.from]?.name, history[edge.to]?.name];
      return `${from} -${edge.kind}-> ${to}: ${edge.why}`;
    });
    report(kind, names);
  }
  return [...anomalies.values()];
}

export function printAnomalies(anomalies: readonly Anomaly[]): string {
  return anomalies.map(({ kind, witness }) => [kind, ...witness].join('\n  ')).join('\n');
}

type Report = (kind: AnomalyKind, witness: readonly string[]) => void;
/** By key and value: who appended it. */
type Writers = ReadonlyMap<string, number>;

function elementName(key: string, value: number): string {
  return `${key}/${value}`;
}

function writersOf(history: readonly ListTransaction[], report: Report): Writers {
  const writers = new Map<string, number>();
  for (const [index, { operations, name }] of history.entries())
    for (const operation of operations) {
      if (operation.kind !== 'append') continue;
      const element = elementName(operation.key, operation.value);
      if (writers.has(element)) report('incompatible-order', [`${name} appends ${element} again`]);
      writers.set(element, index);
    }
  return writers;
}

/**
 * A read shows what the transaction itself has appended before it, at its end. Before that stands what stood there at its
 * first read, unless every statement has a snapshot of its own.
 */
function checkInternal(history: readonly ListTransaction[], report: Report): void {
  for (const { operations, name, outcome, isolation } of history) {
    if (outcome !== 'committed') continue;
    const repeats = isolation !== 'read committed';
    const own = new Map<string, number[]>();
    const seen = new Map<string, readonly number[]>();
    for (const operation of operations) {
      const { key } = operation;
      if (operation.kind === 'append') {
        own.set(key, [...(own.get(key) ?? []), operation.value]);
        continue;
      }
      const before = seen.get(key);
      const appended = own.get(key) ?? [];
      const expected = before === undefined ? undefined : [...before, ...appended];
      const end = operation.values.slice(operation.values.length - appended.length);
      const holds =
        expected === undefined || !repeats
          ? isSame(end, appended)
          : isSame(operation.values, expected);
      if (!holds)
        report('internal', [`${name} reads ${key} = [${operation.values}] after [${appended}]`]);
      if (before === undefined)
        seen.set(key, operation.values.slice(0, operation.values.length - appended.length));
    }
  }
}

/** The order of appends per key: the longest list that was read, of which all others must be beginnings. */
function ordersOf(
  history: readonly ListTransaction[],
  writers: Writers,
  report: Report,
): ReadonlyMap<string, readonly number[]> {
  const orders = new Map<string, readonly number[]>();
  for (const { operations, outcome, name } of history) {
    if (outcome !== 'committed') continue;
    for (const operation of operations) {
      if (operation.kind !== 'read') continue;
      const { key, values } = operation;
      const known = orders.get(key) ?? [];
      const shared = Math.min(known.length, values.length);
      if (!isSame(known.slice(0, shared), values.slice(0, shared)))
        report('incompatible-order', [`${name} reads ${key} = [${values}]`, `others [${known}]`]);
      if (new Set(values).size !== values.length)
        report('incompatible-order', [`${name} reads a value of ${key} twice: [${values}]`]);
      for (const value of values)
        if (!writers.has(elementName(key, value)))
          report('incompatible-order', [`${name} reads ${elementName(key, value)} of nobody`]);
      if (values.length > known.length) orders.set(key, values);
    }
  }
  return orders;
}

function checkReads(history: readonly ListTransaction[], writers: Writers, report: Report): void {
  for (const [index, { operations, outcome, name }] of history.entries()) {
    if (outcome !== 'committed') continue;
    for (const operation of operations) {
      if (operation.kind !== 'read') continue;
      const { key, values } = operation;
      for (const value of values) {
        const writer = history[writers.get(elementName(key, value)) ?? -1];
        if (writer?.outcome === 'aborted')
          report('G1a', [`${name} reads ${elementName(key, value)} of ${writer.name}, aborted`]);
      }
      const last = values.at(-1);
      if (last === undefined) continue;
      const writer = writers.get(elementName(key, last));
      if (writer === undefined || writer === index) continue;
      const final = history[writer]?.operations.findLast(
        (other) => other.kind === 'append' && other.key === key,
      );
      if (final?.kind === 'append' && final.value !== last)
        report('G1b', [
          `${name} reads ${key} up to ${last}`,
          `${history[writer]?.name} has appended ${final.value} after it`,
        ]);
    }
  }
}

function edgesOf(
  history: readonly ListTransaction[],
  writers: Writers,
  orders: ReadonlyMap<string, readonly number[]>,
): readonly Edge[] {
  const edges: Edge[] = [];
  const add: AddEdge = (from, to, kind, why) => {
    if (from !== undefined && to !== undefined && from !== to) edges.push({ from, to, kind, why });
  };
  for (const [key, order] of orders)
    for (let i = 1; i < order.length; i++) {
      const [before, after] = [order[i - 1] ?? 0, order[i] ?? 0];
      const [from, to] = [before, after].map((value) => writers.get(elementName(key, value)));
      add(from, to, 'ww', `${key}: ${after} follows ${before}`);
    }
  addClientOrder(history, add);
  for (const [index, { operations, outcome, isolation }] of history.entries()) {
    if (outcome !== 'committed') continue;
    for (const operation of operations) {
      if (operation.kind !== 'read') continue;
      const { key, values } = operation;
      const last = values.at(-1);
      if (last !== undefined)
        add(writers.get(elementName(key, last)), index, 'wr', `${key}: it reads ${last}`);
      const next = orders.get(key)?.[values.length];
      if (next !== undefined && (isolation ?? 'serializable') === 'serializable')
        add(index, writers.get(elementName(key, next)), 'rw', `${key}: it has not read ${next}`);
    }
  }
  return edges;
}

type AddEdge = (
  from: number | undefined,
  to: number | undefined,
  kind: EdgeKind,
  why: string,
) => void;

/** Every committed transaction of a client after the last one that had ended before it began. */
function addClientOrder(history: readonly ListTransaction[], add: AddEdge): void {
  const byProcess = new Map<string, number[]>();
  for (const [index, { process, outcome, calledAt, returnedAt }] of history.entries()) {
    if (process === undefined || calledAt === undefined || returnedAt === undefined) continue;
    if (outcome !== 'committed') continue;
    const own = byProcess.get(process);
    if (own === undefined) byProcess.set(process, [index]);
    else own.push(index);
  }
  const at = (index: number, time: 'calledAt' | 'returnedAt'): number =>
    history[index]?.[time] ?? 0;
  for (const [process, own] of byProcess) {
    const byEnd = own.toSorted((a, b) => at(a, 'returnedAt') - at(b, 'returnedAt'));
    for (const index of own) {
      const before = byEnd.filter((other) => at(other, 'returnedAt') < at(index, 'calledAt'));
      // Those before the last few are before these, unless they ran beside each other.
      const newest = Math.max(0, ...before.map((other) => at(other, 'calledAt')));
      for (const other of before)
        if (at(other, 'returnedAt') >= newest) add(other, index, 'so', `${process} began it later`);
    }
  }
}

/** Real time, key by key: whatever was acknowledged before a transaction began is in the lists that it reads. */
function checkFreshness(
  history: readonly ListTransaction[],
  orders: ReadonlyMap<string, readonly number[]>,
  report: Report,
): void {
  const positions = new Map<string, ReadonlyMap<number, number>>();
  for (const [key, order] of orders)
    positions.set(key, new Map(order.map((value, position) => [value, position])));
  const acknowledged = new Map<string, { at: number; name: string; value: number }[]>();
  for (const { operations, outcome, returnedAt, name } of history) {
    if (outcome !== 'committed' || returnedAt === undefined) continue;
    for (const operation of operations) {
      if (operation.kind !== 'append') continue;
      const list = acknowledged.get(operation.key) ?? [];
      list.push({ at: returnedAt, name, value: operation.value });
      acknowledged.set(operation.key, list);
    }
  }
  for (const { operations, outcome, calledAt, name } of history) {
    if (outcome !== 'committed' || calledAt === undefined) continue;
    for (const operation of operations) {
      if (operation.kind !== 'read') continue;
      const { key, values } = operation;
      for (const before of acknowledged.get(key) ?? []) {
        if (before.at >= calledAt) continue;
        const position = positions.get(key)?.get(before.value);
        const evidence = [
          `${before.name} appends ${before.value} to ${key}, acknowledged at ${before.at}`,
          `${name} begins at ${calledAt} and reads ${key} = [${values}]`,
        ];
        if (position === undefined) report('lost-append', evidence);
        else if (position >= values.length) report('stale-read', evidence);
      }
    }
  }
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}
