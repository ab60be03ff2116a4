/**
 * Transactions against the final history of every key. With the timestamps known nothing has to be searched:
 *
 * - all writes of a transaction are there at one timestamp, or none is; told committed: all; told aborted: none;
 * - the timestamp lies within the time of the transaction, as far as clocks may be wrong;
 * - a read of a snapshot saw what the history has there, whatever became of its transaction: nothing came below it later;
 * - what must still be so at the commit is so there: all reads of a SERIALIZABLE transaction, locked keys in any;
 * - nothing is read that was replaced before the reader began: what was acknowledged is seen.
 */
import { hlcEpochMs, kvPrefix } from '@flotilla/base';
import { SimFailure } from '../../failure.ts';
import {
  printKey,
  type ReadTrace,
  type SpanTrace,
  type TransactionTrace,
} from '../../workload/transactions/trace.ts';
import type { Version, VersionHistory } from './versions.ts';

/** A read with the version that it saw. */
type SeenRead = ReadTrace & { readonly version: number };

/** Of a hybrid timestamp. */
const countersPerMs = 4096;

export interface TimestampOptions {
  /** Of a wall clock without errors, when true time was 0. Unit: ms since 1970. */
  readonly trueEpochMs: number;
  /** How far a wall clock is from true time at most. Unit: ms. */
  readonly wallErrorMs: number;
}

/** Throws SimFailure. @returns how many reads were judged */
export function checkTimestamps(
  traces: readonly TransactionTrace[],
  history: VersionHistory,
  options: TimestampOptions,
): number {
  const check = new TimestampCheck(traces, history, options);
  for (const trace of traces) check.ofOne(trace);
  check.strangers();
  return check.judged;
}

class TimestampCheck {
  judged = 0;
  private readonly history: VersionHistory;
  private readonly options: TimestampOptions;
  private readonly byName: ReadonlyMap<string, TransactionTrace>;
  private readonly reads = new Map<TransactionTrace, readonly SeenRead[]>();
  /** By writer: keys and timestamps of what is there of it. */
  private readonly written = new Map<TransactionTrace, Map<string, number>>();
  /** By key: versions whose writer was told, by when; the newest of them so far. */
  private readonly acknowledged = new Map<string, { at: number; timestamp: number }[]>();

  constructor(
    traces: readonly TransactionTrace[],
    history: VersionHistory,
    options: TimestampOptions,
  ) {
    this.history = history;
    this.options = options;
    this.byName = new Map(traces.map((trace) => [trace.name, trace]));
    for (const key of history.keys)
      for (const version of history.of(key)) {
        const writer = this.writerOf(version);
        if (writer === undefined) continue;
        const known = this.written.get(writer) ?? new Map<string, number>();
        if (known.has(key)) throw failed(writer, `wrote ${printKey(key)} twice`);
        known.set(key, version.timestamp);
        this.written.set(writer, known);
      }
    for (const trace of traces) {
      this.noteAcknowledged(trace);
      this.reads.set(
        trace,
        trace.reads.map((read) => this.resolved(trace, read)),
      );
    }
    for (const list of this.acknowledged.values()) {
      list.sort((a, b) => a.at - b.at);
      let newest = 0;
      for (const entry of list) {
        newest = Math.max(newest, entry.timestamp);
        entry.timestamp = newest;
      }
    }
  }

  ofOne(trace: TransactionTrace): void {
    const reads = this.reads.get(trace) ?? [];
    for (const read of reads) this.checkRead(trace, read);
    for (const span of trace.spans) this.checkSpan(trace, span);
    const timestamp = this.commitTimestampOf(trace);
    if (timestamp === 0) {
      this.checkMoment(trace);
      return;
    }
    this.checkTime(trace, timestamp);
    for (const read of reads) {
      if (!this.isChecked(trace, read)) continue;
      const there = this.beforeCommit(trace, read.key, timestamp);
      if ((there?.timestamp ?? 0) !== read.version)
        throw failed(trace, `commits at ${timestamp}: ${this.sawInstead(read, there)}`);
    }
    if (trace.isolation === 'serializable')
      for (const span of trace.spans)
        this.compareSpan(trace, span, `commits at ${timestamp}`, (key) =>
          this.beforeCommit(trace, key, timestamp),
        );
  }

  /** A program hands back values, which nobody writes twice to a key: the version is the one that has it. */
  private resolved(trace: TransactionTrace, read: ReadTrace): SeenRead {
    const { version, value, key } = read;
    if (version !== undefined) return { ...read, version };
    if (value === undefined) return { ...read, version: 0 };
    const there = this.history.at(key, read.at);
    const seen =
      there?.value === value ? there : this.history.of(key).find((one) => one.value === value);
    if (seen === undefined)
      throw failed(trace, `read ${printKey(key)} = ${value}, which nobody has written`);
    return { ...read, version: seen.timestamp };
  }

  /** Every version of a transaction's key is somebody's. */
  strangers(): void {
    for (const key of this.history.keys) {
      if (!isOfUsers(key)) continue;
      for (const version of this.history.of(key))
        if (version.value.includes('|') && this.writerOf(version) === undefined)
          throw new SimFailure('isolation', `${printKey(key)} = ${version.value} is of nobody`);
    }
  }

  /** Of what it wrote; 0: it wrote nothing, or nothing of it is there. */
  private commitTimestampOf(trace: TransactionTrace): number {
    const { fate, writes, toldTimestamp } = trace;
    const found = this.written.get(trace) ?? new Map<string, number>();
    for (const key of found.keys())
      if (!writes.has(key))
        throw failed(trace, `never wrote ${printKey(key)}, which has a version`);
    const [timestamp = fate === 'committed' ? toldTimestamp : 0] = found.values();
    const isThere = found.size > 0 || fate === 'committed';
    if (isThere && (fate === 'aborted' || fate === 'open')) {
      const [key = ''] = found.keys();
      throw failed(trace, `${printKey(key)} has its version at ${timestamp}`);
    }
    if (!isThere || writes.size === 0) return 0;
    if (fate === 'committed' && toldTimestamp > 0 && toldTimestamp !== timestamp)
      throw failed(trace, `committed at ${toldTimestamp}, its writes are at ${timestamp}`);
    for (const [key, kind] of writes) {
      const at = found.get(key);
      const holds =
        kind === 'put' ? at === timestamp : this.history.at(key, timestamp) === undefined;
      if (!holds)
        throw failed(
          trace,
          `${kind} of ${printKey(key)} is missing at ${timestamp}, where others are (${at ?? 'nowhere'})`,
        );
    }
    return timestamp;
  }

  private noteAcknowledged(trace: TransactionTrace): void {
    if (trace.fate !== 'committed') return;
    for (const [key, timestamp] of this.written.get(trace) ?? []) {
      const list = this.acknowledged.get(key);
      const entry = { at: trace.endedAt, timestamp };
      if (list === undefined) this.acknowledged.set(key, [entry]);
      else list.push(entry);
    }
  }

  private checkTime(trace: TransactionTrace, timestamp: number): void {
    const { trueEpochMs, wallErrorMs } = this.options;
    const at = hlcEpochMs + timestamp / countersPerMs - trueEpochMs;
    const late = trace.fate === 'committed' ? at - trace.endedAt : 0;
    if (trace.beganAt - at <= wallErrorMs + 1 && late <= wallErrorMs + 1) return;
    throw failed(trace, `commits at ${at.toFixed(1)} ms`);
  }

  /** Also what wrote nothing has a moment at which all was so that it read, under locks and without. */
  private checkMoment(trace: TransactionTrace): void {
    if (trace.fate !== 'committed' || trace.isolation === 'read committed') return;
    let last: SeenRead | undefined;
    let first: { readonly read: SeenRead; readonly until: number } | undefined;
    for (const read of this.reads.get(trace) ?? []) {
      if (read.dropped === true) continue;
      // Of what was absent no version says until when.
      const seen = this.history.of(read.key).find(({ timestamp }) => timestamp === read.version);
      if (seen === undefined) continue;
      if (last === undefined || read.version > last.version) last = read;
      if (first === undefined || seen.supersededAt < first.until)
        first = { read, until: seen.supersededAt };
    }
    if (last === undefined || first === undefined || last.version < first.until) return;
    throw failed(
      trace,
      `of ${printKey(first.read.key)} it saw version ${first.read.version}, which was no more when ${last.version} of ${printKey(last.key)} came`,
    );
  }

  private checkRead(trace: TransactionTrace, read: SeenRead): void {
    this.judged++;
    const { key, version, at, locked } = read;
    if (!locked) {
      const there = this.history.at(key, at);
      const own = there !== undefined && this.writerOf(there) === trace;
      if (!own && (there?.timestamp ?? 0) !== version)
        throw failed(trace, `read at ${at}: ${this.sawInstead(read, there)}`);
    }
    this.checkFresh(trace, read);
  }

  private checkSpan(trace: TransactionTrace, span: SpanTrace): void {
    this.judged++;
    this.compareSpan(trace, span, `scanned at ${span.at}`, (key) => {
      const there = this.history.at(key, span.at);
      return there !== undefined && this.writerOf(there) === trace
        ? this.history.before(key, span.at)
        : there;
    });
    for (const [key, version] of span.rows) this.checkFresh(trace, { ...span, key, version });
  }

  private compareSpan(
    trace: TransactionTrace,
    { startKey, endKey, rows }: SpanTrace,
    when: string,
    thereOf: (key: string) => Version | undefined,
  ): void {
    for (const key of new Set([...this.history.keys, ...rows.keys()])) {
      if (key < startKey || key >= endKey) continue;
      const there = thereOf(key);
      const version = rows.get(key) ?? 0;
      if ((there?.timestamp ?? 0) !== version)
        throw failed(trace, `${when}: ${this.sawInstead({ key, version }, there)}`);
    }
  }

  /** What was acknowledged before it asked is seen, or something newer. */
  private checkFresh(
    trace: TransactionTrace,
    { key, version, askedAt }: Pick<SeenRead, 'key' | 'version' | 'askedAt'>,
  ): void {
    // Whoever chooses a time wants to see that, whatever came later.
    if (trace.workload === 'past') return;
    let newest = 0;
    for (const entry of this.acknowledged.get(key) ?? []) {
      if (entry.at >= askedAt) break;
      newest = entry.timestamp;
    }
    // Of a deletion no version says who made it: what is absent now may have been deleted since.
    if (version >= newest || (version === 0 && this.isEverDeleted(key))) return;
    throw failed(
      trace,
      `began at ${askedAt.toFixed(1)} ms and ${this.sawInstead({ key, version }, this.history.at(key, newest))}, acknowledged before`,
    );
  }

  /**
   * READ COMMITTED checks what was locked, and what a statement has both read and written: workloads write a key in the
   * statement that read it last.
   */
  private isChecked(trace: TransactionTrace, read: SeenRead): boolean {
    if (read.dropped === true) return false;
    if (trace.isolation === 'serializable') return true;
    if (!read.locked && !trace.writes.has(read.key)) return false;
    return this.reads.get(trace)?.findLast(({ key }) => key === read.key) === read;
  }

  private isEverDeleted(key: string): boolean {
    const versions = this.history.of(key);
    const begins = new Set(versions.map(({ timestamp }) => timestamp));
    return versions.some(
      ({ supersededAt }) => supersededAt !== Infinity && !begins.has(supersededAt),
    );
  }

  private beforeCommit(
    trace: TransactionTrace,
    key: string,
    timestamp: number,
  ): Version | undefined {
    return trace.writes.has(key) && this.history.isWrittenAt(key, timestamp)
      ? this.history.before(key, timestamp)
      : this.history.at(key, timestamp);
  }

  private writerOf({ value }: Version): TransactionTrace | undefined {
    const end = value.indexOf('|');
    return this.byName.get(end < 0 ? value : value.slice(0, end));
  }

  private sawInstead(
    { key, version }: Pick<SeenRead, 'key' | 'version'>,
    there: Version | undefined,
  ): string {
    const found =
      there === undefined
        ? 'nothing'
        : `${there.value} (${there.timestamp}, by ${this.writerOf(there) ?? 'no transaction'})`;
    return `of ${printKey(key)} it saw version ${version}, where ${found} is`;
  }
}

function failed(trace: TransactionTrace, what: string): SimFailure {
  return new SimFailure('isolation', `${trace}: ${what}`);
}

/** Below it the cluster keeps its own books. */
const firstOfUsers = String.fromCharCode(kvPrefix[0] ?? 0);

function isOfUsers(key: string): boolean {
  return key >= firstOfUsers;
}
