/**
 * Finds descriptors for keys that the cache knows nothing about: by reading the meta index, whose rows are keyed
 * `02 ‖ endKey`. Where a part of the index is says the same index one step higher, down from the root, which is in the
 * first range; where that is say all stores. One look-up per gap of the cache is under way, whoever waits for it. What the
 * index says may be old; stores put it right.
 */
import {
  compareBytes,
  concatBytes,
  type ErrorCode,
  keySuccessor,
  metaPrefix,
  prefixSpan,
  rootEndKey,
  systemPrefix,
  toHex,
} from '@flotilla/base';
import { kv } from '@flotilla/shard/protocol';
import type { Response } from './client-link.ts';
import type { DescriptorFinder, Dispatcher } from './dispatcher.ts';
import { type CallPiece, RangeCall } from './range-call.ts';

const metaSpan = prefixSpan(metaPrefix);

export interface Discovery {
  /** Asks all stores where the meta range is, now and then again until `stop`. Answers go to the cache. */
  start(onAnswer: () => void): void;
  stop(): void;
}

export class Lookups implements DescriptorFinder {
  private readonly dispatcher: Dispatcher;
  private readonly discovery: Discovery;
  /** By the start of the gap. */
  private readonly underWay = new Map<string, LookupCall>();
  private readonly lookupOf = new Map<RangeCall, LookupCall>();
  /** Calls for the meta range itself, and what lies below it. */
  private readonly discovering = new Set<RangeCall>();

  constructor(dispatcher: Dispatcher, discovery: Discovery) {
    this.dispatcher = dispatcher;
    this.discovery = discovery;
  }

  join(call: RangeCall): void {
    if (isRootKey(call.routeKey, call.routeBefore)) {
      if (this.discovering.size === 0) this.discovery.start(() => this.onDiscovered());
      this.discovering.add(call);
      return;
    }
    const gap = this.dispatcher.cache.gapBefore(call.routeKey);
    // A look-up may need another one to find its way, of the same gap perhaps; it must not wait for itself.
    const level = compareBytes(call.routeKey, systemPrefix) < 0 ? 'index' : 'range';
    const key = `${level} ${gap === undefined ? '' : toHex(gap)}`;
    let lookup = this.underWay.get(key);
    if (lookup === undefined) {
      lookup = this.begin(key, call.routeKey, call.routeBefore);
      lookup.waiters.add(call);
      this.lookupOf.set(call, lookup);
      this.dispatcher.dispatch(lookup);
      return;
    }
    lookup.waiters.add(call);
    this.lookupOf.set(call, lookup);
  }

  leave(call: RangeCall): void {
    this.lookupOf.get(call)?.waiters.delete(call);
    this.lookupOf.delete(call);
    if (this.discovering.delete(call) && this.discovering.size === 0) this.discovery.stop();
  }

  refresh(key: Uint8Array, before: boolean): void {
    if (isRootKey(key, before)) {
      if (this.discovering.size === 0) this.discovery.start(() => this.discovery.stop());
      return;
    }
    const name = `refresh ${before ? 'below' : 'at'} ${toHex(key)}`;
    if (this.underWay.has(name)) return;
    this.dispatcher.dispatch(this.begin(name, key, before, () => false));
  }

  private begin(
    name: string,
    key: Uint8Array,
    before: boolean,
    isKnown: () => boolean = () => this.isKnown(key, before),
  ): LookupCall {
    const { clock, timings, limits } = this.dispatcher;
    const row = concatBytes(metaPrefix, key);
    return this.follow(name, {
      // The range that holds `key` ends above it; the one below `key` ends at or above it.
      fromRow: before ? row : keySuccessor(row),
      rows: limits.lookupRows,
      deadlineAtMs: clock.nowMs() + timings.helperTimeoutMs,
      isKnown,
    });
  }

  private follow(name: string, question: Question): LookupCall {
    const lookup: LookupCall = new LookupCall(question, {
      endEarly: () => this.dispatcher.finish(lookup),
      learn: (bytes) => this.learn(bytes),
      done: () => this.onLookupDone(name, lookup),
      goOn: (fromRow) => this.onPartEnds(name, lookup, { ...question, fromRow }),
    });
    this.underWay.set(name, lookup);
    return lookup;
  }

  /** The row is in the next part of the index. */
  private onPartEnds(name: string, before: LookupCall, question: Question): void {
    if (this.underWay.get(name) !== before) {
      this.onLookupDone(name, before);
      return;
    }
    const next = this.follow(name, question);
    for (const call of before.waiters) {
      next.waiters.add(call);
      this.lookupOf.set(call, next);
    }
    before.waiters.clear();
    this.dispatcher.dispatch(next);
  }

  private learn(row: Uint8Array): void {
    try {
      this.dispatcher.cache.learn(kv.RangeInfo.decode(row));
    } catch {
      // A row that cannot be read is as good as none: the stores themselves know.
    }
  }

  private onLookupDone(name: string, lookup: LookupCall): void {
    if (this.underWay.get(name) === lookup) this.underWay.delete(name);
    for (const call of lookup.waiters) {
      this.lookupOf.delete(call);
      this.goOn(call);
    }
    lookup.waiters.clear();
  }

  private onDiscovered(): void {
    if (this.dispatcher.cache.find(metaPrefix) === undefined) return;
    this.discovery.stop();
    const waiting = [...this.discovering];
    this.discovering.clear();
    for (const call of waiting) this.goOn(call);
  }

  /** What is still unknown is asked for again, but not at once. */
  private goOn(call: RangeCall): void {
    const { timings } = this.dispatcher;
    if (this.isKnown(call.routeKey, call.routeBefore)) this.dispatcher.dispatch(call);
    else this.dispatcher.pause(call, this.dispatcher.jittered(timings.searchPauseMs));
  }

  private isKnown(key: Uint8Array, before: boolean): boolean {
    const { cache } = this.dispatcher;
    return (before ? cache.findBefore(key) : cache.find(key)) !== undefined;
  }
}

/** The root says where everything else is, step by step; where it is itself, only stores say. */
function isRootKey(key: Uint8Array, before: boolean): boolean {
  const order = compareBytes(key, rootEndKey);
  return before ? order <= 0 : order < 0;
}

interface Question {
  /** The first row from here on is wanted. */
  readonly fromRow: Uint8Array;
  readonly rows: number;
  readonly deadlineAtMs: number;
  /** It was learned on the way. */
  readonly isKnown: () => boolean;
}

interface LookupEnd {
  readonly endEarly: () => void;
  readonly learn: (row: Uint8Array) => void;
  readonly done: () => void;
  /** There is no row up to here, where this part of the index ends. */
  readonly goOn: (fromRow: Uint8Array) => void;
}

class LookupCall extends RangeCall {
  readonly waiters: Set<RangeCall> = new Set();
  override readonly routeKey: Uint8Array;
  private readonly question: Question;
  private readonly end: LookupEnd;
  private askedTo: Uint8Array = metaSpan.endKey;

  constructor(question: Question, end: LookupEnd) {
    super(question.deadlineAtMs);
    this.question = question;
    this.end = end;
    this.routeKey = question.fromRow;
  }

  override fit(): boolean {
    if (!this.question.isKnown()) return true;
    // Learned on the way, as in a cluster of one range: nothing is left to look up.
    this.end.endEarly();
    this.end.done();
    return false;
  }

  override encode(requestId: number, timeoutMs: number, piece: CallPiece): Uint8Array {
    const { rangeId, generation } = piece.range;
    this.askedTo = compareBytes(metaSpan.endKey, piece.endKey) < 0 ? metaSpan.endKey : piece.endKey;
    const scan = {
      startKey: this.routeKey,
      endKey: this.askedTo,
      maxRows: this.question.rows,
    };
    return kv.Request.encode({ requestId, timeoutMs, rangeId, generation, scan }).finish();
  }

  override accepts(response: Response): boolean {
    return !!response.scan;
  }

  override complete(response: Response): void {
    const rows = response.scan?.rows ?? [];
    for (const { value } of rows) if (value) this.end.learn(value);
    if (rows.length === 0 && compareBytes(this.askedTo, metaSpan.endKey) < 0)
      this.end.goOn(this.askedTo);
    else this.end.done();
  }

  override failWith(_code: ErrorCode): void {
    this.end.done();
  }
}
