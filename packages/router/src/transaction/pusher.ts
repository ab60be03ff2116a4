/**
 * Deals with other transactions' intents that are in the way of anybody's request: asks their record, waits for a
 * coordinator that lives, recovers a transaction that was abandoned, and resolves the intent. One push per transaction
 * at a time, whoever waits. Recovery decides by what the promised keys say, never by guessing: every promised intent that
 * is missing is made impossible before the record is decided by compare-and-set.
 */
import { asBuffer, type Clock, compareBytes, probe, toHex } from '@flotilla/base';
import type { BlockingIntent } from '../range-call.ts';
import type { IntentPusher } from '../refused-calls.ts';
import type { OperationOptions } from '../router-api.ts';
import type {
  Decision,
  RecordAddress,
  RecordQuery,
  RecordState,
  Resolution,
  TransactionRecord,
} from './transaction-api.ts';

/** What a pusher asks stores; the router's own operations. */
export interface Settler {
  query(record: RecordQuery, options?: OperationOptions): Promise<TransactionRecord>;
  decide(decision: Decision, options?: OperationOptions): Promise<RecordState>;
  prevent(
    transactionId: Uint8Array,
    commitTimestamp: number,
    keys: readonly Uint8Array[],
    options?: OperationOptions,
  ): Promise<boolean>;
  resolve(resolutions: readonly Resolution[], options?: OperationOptions): Promise<void>;
}

export interface PusherOptions {
  readonly clock: Clock;
  readonly settler: Settler;
  /** Pause before a transaction that lives is asked about again. Unit: ms. */
  readonly pauseMs: () => number;
}

/** A transaction without a sign of life for this long is abandoned. Unit: ms. */
const abandonedAfterMs = 1000;
/** Deadline of each step of a push; whoever waits asks again. Unit: ms. */
const stepTimeoutMs = 2000;
/** Transactions without a record that are remembered. */
const sightingsMax = 10_000;

interface Blocking extends RecordAddress {
  readonly key: Uint8Array;
  readonly name: string;
}

/** How a transaction has ended, and where it may have left intents, as far as its record tells. */
interface Outcome extends RecordState {
  readonly promisedKeys: readonly Uint8Array[];
}

/** What one push resolves: whoever reads on meets the next of them. */
const keysPerPush = 20_000;
/** Time for a push that resolves many keys. Unit: ms. */
const bulkTimeoutMs = 10_000;
/** Decided transactions of many keys that are remembered: each is in the way many times. */
const bulksMax = 2;

/** A decided transaction of many keys. It stays what it is. */
interface Bulk extends RecordState {
  readonly promisedKeys: readonly Uint8Array[];
  /** Where in `promisedKeys` a key is, by its bytes as latin1. */
  readonly places: ReadonlyMap<string, number>;
}

export class Pusher implements IntentPusher {
  private readonly options: PusherOptions;
  private readonly pushes = new Map<string, Promise<void>>();
  /** When a transaction without a record was first met, by id. In order. */
  private readonly sightings = new Map<string, number>();
  private readonly bulks = new Map<string, Promise<Bulk | undefined>>();

  constructor(options: PusherOptions) {
    this.options = options;
  }

  push(intent: BlockingIntent): Promise<void> {
    const transactionId = Uint8Array.from(intent.transactionId ?? []);
    const blocking: Blocking = {
      transactionId,
      anchorKey: Uint8Array.from(intent.anchorKey ?? []),
      key: Uint8Array.from(intent.key ?? []),
      name: toHex(transactionId),
    };
    // By key too: each push resolves the intent that it was called for.
    const flight = `${blocking.name} ${toHex(blocking.key)}`;
    let push = this.pushes.get(flight);
    if (push === undefined) {
      push = this.pushNow(blocking).finally(() => this.pushes.delete(flight));
      this.pushes.set(flight, push);
    }
    return push;
  }

  /** Settles the transaction for good, however young it is. */
  async recover(record: RecordAddress, options: OperationOptions = {}): Promise<RecordState> {
    const { clock, settler } = this.options;
    const deadline = clock.nowMs() + (options.timeoutMs ?? stepTimeoutMs);
    const step = (): OperationOptions => ({
      timeoutMs: Math.max(1, Math.min(stepTimeoutMs, deadline - clock.nowMs())),
    });
    for (;;) {
      const found = await settler.query({ ...record, withAllKeys: true }, step());
      if (found.status === 'committed' || found.status === 'aborted') return found;
      const decided = await this.settle(record, found, step);
      if (decided.status === 'committed' || decided.status === 'aborted') return decided;
      await this.pause();
    }
  }

  /** Its coordinator has left it behind: decides it if nobody has, and does what is left to do. */
  async finish({
    keys,
    ...record
  }: RecordAddress & { readonly keys: readonly Uint8Array[] }): Promise<void> {
    const { settler } = this.options;
    const step = (): OperationOptions => ({ timeoutMs: stepTimeoutMs });
    const found = await settler.query({ ...record, withAllKeys: true }, step());
    const decided =
      found.status === 'committed' || found.status === 'aborted'
        ? found
        : found.coordinatorAlive
          ? undefined
          : await this.settle(record, found, step);
    if (decided?.status !== 'committed' && decided?.status !== 'aborted') return;
    const { status, commitTimestamp } = decided;
    const committed = status === 'committed';
    const { transactionId } = record;
    // Those that were found are among the promised ones, if there is a promise.
    const left = found.promisedKeys.length > 0 ? found.promisedKeys : keys;
    if (committed) await this.cleanUp(record, { commitTimestamp, promisedKeys: left });
    else await settler.resolve([{ transactionId, committed, commitTimestamp, keys: left }], step());
  }

  private async pushNow(blocking: Blocking): Promise<void> {
    const { transactionId, key, name } = blocking;
    try {
      const known = await this.bulks.get(name);
      const outcome = known ?? (await this.outcomeOf(blocking));
      if (outcome === undefined) {
        await this.pause();
        return;
      }
      const { status, commitTimestamp } = outcome;
      const committed = status === 'committed';
      const keys = keysFrom(key, outcome);
      await this.options.settler.resolve([{ transactionId, committed, commitTimestamp, keys }], {
        timeoutMs: keys.length > 1 ? bulkTimeoutMs : stepTimeoutMs,
      });
    } catch {
      // Nobody answered in time. Whoever waits has a deadline of its own and asks again.
      await this.pause();
    }
  }

  /** @returns undefined: it is not decided, and not abandoned */
  private async outcomeOf(blocking: Blocking): Promise<Outcome | Bulk | undefined> {
    const { settler } = this.options;
    const { transactionId, anchorKey, name } = blocking;
    const step = (): OperationOptions => ({ timeoutMs: stepTimeoutMs });
    const ask = (withAllKeys: boolean): Promise<TransactionRecord> =>
      settler.query({ transactionId, anchorKey, withAllKeys }, step());
    let record = await ask(false);
    if (record.status !== 'none') this.sightings.delete(name);
    switch (record.status) {
      case 'aborted':
      case 'committed':
        return record.keysOmitted ? ((await this.bulkOf(name, ask)) ?? record) : record;
      case 'staging':
        if (record.coordinatorAlive || record.ageMs < abandonedAfterMs) return undefined;
        if (record.keysOmitted) record = await ask(true);
        break;
      case 'none':
        if (record.coordinatorAlive || !this.isLongAlone(name)) return undefined;
        break;
    }
    const decided = await this.settle(blocking, record, step);
    if (decided.status !== 'committed' && decided.status !== 'aborted') return undefined;
    this.sightings.delete(name);
    const { commitTimestamp } = decided;
    // The rest of it is in somebody's way too, sooner or later. The record stays: its coordinator may still ask.
    if (record.promisedKeys.length > 0)
      await settler.resolve(
        [
          {
            transactionId,
            committed: decided.status === 'committed',
            commitTimestamp,
            keys: record.promisedKeys,
          },
        ],
        step(),
      );
    return { ...decided, promisedKeys: [] };
  }

  /** @returns undefined: there is nothing left of it */
  private bulkOf(
    name: string,
    ask: (withAllKeys: boolean) => Promise<TransactionRecord>,
  ): Promise<Bulk | undefined> {
    const known = this.bulks.get(name);
    if (known !== undefined) return known;
    const asked = ask(true).then((record) => {
      if (record.status !== 'committed' && record.status !== 'aborted') return undefined;
      const { status, commitTimestamp, promisedKeys } = record;
      const places = new Map(promisedKeys.map((key, at) => [placeName(key), at]));
      return { status, commitTimestamp, promisedKeys, places };
    });
    this.bulks.set(name, asked);
    asked.catch(() => this.bulks.delete(name));
    const [oldest] = this.bulks.keys();
    if (this.bulks.size > bulksMax && oldest !== undefined) this.bulks.delete(oldest);
    return asked;
  }

  private async settle(
    address: RecordAddress,
    record: TransactionRecord,
    step: () => OperationOptions,
  ): Promise<RecordState> {
    const { settler } = this.options;
    const { transactionId, anchorKey } = address;
    const kept =
      record.status === 'staging' &&
      (await settler.prevent(transactionId, record.commitTimestamp, record.promisedKeys, step()));
    if (record.status === 'staging') probe('stagingRecovered');
    return settler.decide(
      {
        transactionId,
        anchorKey,
        expected: record.status === 'staging' ? 'staging' : 'none',
        expectedTimestamp: record.commitTimestamp,
        outcome: kept ? 'committed' : 'aborted',
        resolveKeys: [],
        forget: false,
      },
      step(),
    );
  }

  /** Its coordinator died between the decision and the end of its work. */
  private async cleanUp(
    address: RecordAddress,
    record: Pick<TransactionRecord, 'commitTimestamp' | 'promisedKeys'>,
  ): Promise<void> {
    const { settler } = this.options;
    const { transactionId, anchorKey } = address;
    const { commitTimestamp, promisedKeys } = record;
    const resolution = { transactionId, committed: true, commitTimestamp };
    const step = { timeoutMs: stepTimeoutMs };
    await settler.resolve([{ ...resolution, keys: promisedKeys }], step);
    await settler.resolve([{ ...resolution, keys: [], forgetAnchorKey: anchorKey }], step);
  }

  /** Whether this transaction was without a record for so long that its coordinator cannot be about to write one. */
  private isLongAlone(name: string): boolean {
    const now = this.options.clock.nowMs();
    const since = this.sightings.get(name);
    if (since !== undefined) return now - since >= abandonedAfterMs;
    this.sightings.set(name, now);
    if (this.sightings.size > sightingsMax) {
      const [oldest] = this.sightings.keys();
      if (oldest !== undefined) this.sightings.delete(oldest);
    }
    return false;
  }

  private pause(): Promise<void> {
    const { clock, pauseMs } = this.options;
    return new Promise((resolve) => {
      clock.setTimer(pauseMs(), resolve);
    });
  }
}

/** The key, and some that the transaction wrote after it. */
function keysFrom(key: Uint8Array, outcome: Outcome | Bulk): readonly Uint8Array[] {
  const { promisedKeys } = outcome;
  const at =
    'places' in outcome
      ? (outcome.places.get(placeName(key)) ?? -1)
      : promisedKeys.findIndex((each) => compareBytes(each, key) === 0);
  return at < 0 ? [key] : promisedKeys.slice(at, at + keysPerPush);
}

function placeName(key: Uint8Array): string {
  return asBuffer(key).toString('latin1');
}
