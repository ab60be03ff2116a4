/**
 * One client: one operation after the other, of all kinds, until it is told to stop. Writes down what it asked and what
 * it heard, in true time; what it cannot know stays unknown.
 */
import { DbError, kvPrefix, type Prng, prefixSpan, type StoreId } from '@flotilla/base';
import type { KvRow, KvValue, Router, WriteBatch, WriteMutation } from '@flotilla/router';
import type { ClientHost } from '../cluster/client-host.ts';
import { keyOf } from '../cluster/ranges.ts';
import { SimFailure } from '../failure.ts';
import type { Swarm } from '../swarm.ts';
import type { DirectClient } from './direct-client.ts';
import type { KeyInput, KeyOutput, Value } from './key-history.ts';
import type { Record } from './record.ts';

export interface ClientOptions {
  readonly number: number;
  readonly client: ClientHost;
  readonly direct: DirectClient;
  /** Of all stores of the cluster by now. */
  readonly storeIds: () => readonly StoreId[];
  readonly swarm: Swarm;
  readonly prng: Prng;
  readonly record: Record;
  /** The two keys lie in different ranges. */
  readonly isCutBetween: (low: Uint8Array, high: Uint8Array) => boolean;
  readonly stopped: () => boolean;
}

/** Tags after which a list is left alone. */
const tagsPerListMax = 60;
const tagLists = 2;
/** Unit: ms. */
const slowThinkMsMax = 150;

type Outcome<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'unknown' | 'failed' };

export class Client {
  private readonly options: ClientOptions;
  private readonly router: Router;
  private readonly name: string;
  private made = 0;
  /** Newest timestamp that this client saw, by key, with its value. */
  private readonly seen = new Map<string, { readonly timestamp: number; readonly value: Value }>();

  constructor(options: ClientOptions) {
    this.options = options;
    this.router = options.client.router;
    this.name = `c${options.number}`;
  }

  async run(): Promise<void> {
    const { prng, record, swarm, stopped } = this.options;
    while (!stopped()) {
      await this.operation(prng.nextBelow(100));
      const brisk = record.ok + record.failed + record.unknown < swarm.briskOperations;
      const thinkMsMax = brisk ? swarm.thinkMsMax : Math.max(swarm.thinkMsMax, slowThinkMsMax);
      await this.pause(prng.nextFloat() * thinkMsMax + 0.1);
    }
  }

  private async operation(dice: number): Promise<void> {
    const { prng, swarm } = this.options;
    const key = `k${prng.nextBelow(swarm.keys)}`;
    if (dice < 30) {
      if (prng.nextFloat() < swarm.followerReadShare) await this.followerRead(key);
      else await this.read([key]);
    } else if (dice < 50) await this.write(key, this.fresh());
    else if (dice < 55) await this.write(key, undefined);
    else if (dice < 72) await this.compareAndSet(key, this.fresh());
    else if (dice < 88) await this.appendTag();
    else if (dice < 92) await this.writePair();
    else if (dice < 96) await this.read(['p0', 'q0']);
    else await this.scan();
  }

  // ---- registers

  private async read(keys: readonly string[]): Promise<void> {
    const calledAt = this.now();
    const outcome = await this.tried(() =>
      this.router.get(keys.map(nameToKey), { timeoutMs: this.options.swarm.operationTimeoutMs }),
    );
    if (outcome.kind !== 'ok') return;
    for (const [i, key] of keys.entries())
      this.noteRead(key, outcome.value[i], calledAt, this.now());
    if (keys.length === 2) this.checkPair(outcome.value.map(textOf));
  }

  /** At any store: one without a replica says no. */
  private async followerRead(key: string): Promise<void> {
    const { prng, record, direct, storeIds } = this.options;
    const stores = storeIds();
    const storeId = stores[prng.nextBelow(stores.length)];
    if (storeId === undefined) return;
    const calledAt = this.now();
    const answer = await direct.followerGet(nameToKey(key), storeId);
    if (!answer.ok) {
      record.failed++;
      return;
    }
    record.ok++;
    this.noteRead(key, answer.value, calledAt, this.now());
  }

  private async write(key: string, value: Value): Promise<void> {
    await this.writeKeys([[key, { kind: 'write', value }]], {
      conditions: [],
      mutations: [mutationOf(key, value)],
      deleteSpans: [],
    });
  }

  private async compareAndSet(key: string, value: string): Promise<void> {
    const seen = this.seen.get(key) ?? { timestamp: 0, value: undefined };
    await this.writeKeys([[key, { kind: 'cas', expected: seen.value, value }]], {
      conditions: [{ kind: 'unchanged', key: nameToKey(key), timestamp: seen.timestamp }],
      mutations: [mutationOf(key, value)],
      deleteSpans: [],
    });
  }

  private async writePair(): Promise<void> {
    if (this.isPairCut()) return;
    const value = this.fresh();
    const input: KeyInput = { kind: 'write', value };
    await this.writeKeys(
      [
        ['p0', input],
        ['q0', input],
      ],
      {
        conditions: [],
        mutations: [mutationOf('p0', value), mutationOf('q0', value)],
        deleteSpans: [],
      },
    );
  }

  private async writeKeys(
    inputs: readonly (readonly [string, KeyInput])[],
    batch: WriteBatch,
  ): Promise<void> {
    const { record, swarm } = this.options;
    const calledAt = this.now();
    const outcome = await this.tried(() =>
      this.router.write(batch, { timeoutMs: swarm.operationTimeoutMs }),
    );
    if (outcome.kind === 'failed') return;
    const returnedAt = this.now();
    for (const [key, input] of inputs) {
      const history = record.key(key);
      if (outcome.kind !== 'ok') {
        history.add({ process: this.name, input, calledAt, result: { kind: 'unknown' } });
        continue;
      }
      const { value: result } = outcome;
      const output: KeyOutput =
        input.kind === 'cas'
          ? {
              kind: 'cas',
              applied: result.applied,
              foundTimestamp: result.applied ? 0 : result.foundTimestamp,
            }
          : { kind: 'written' };
      if (result.applied && input.kind !== 'read') {
        if (input.value !== undefined) history.learn(key, result.timestamp, input.value);
        const timestamp = input.value === undefined ? 0 : result.timestamp;
        this.seen.set(key, { timestamp, value: input.value });
      }
      history.add({
        process: this.name,
        input,
        calledAt,
        result: { kind: 'ok', output, returnedAt },
      });
    }
  }

  // ---- tags

  private async appendTag(): Promise<void> {
    const { prng, record, swarm } = this.options;
    const timeoutMs = swarm.operationTimeoutMs;
    const list = `t${prng.nextBelow(tagLists)}`;
    const key = nameToKey(list);
    const read = await this.tried(() => this.router.get([key], { timeoutMs }));
    if (read.kind !== 'ok') return;
    const found = read.value[0];
    const tags = textOf(found)?.split(',') ?? [];
    if (tags.length >= tagsPerListMax) return;
    const tag = this.fresh();
    const outcome = await this.tried(() =>
      this.router.write(
        {
          conditions: [{ kind: 'unchanged', key, timestamp: found?.timestamp ?? 0 }],
          mutations: [{ kind: 'put', key, value: Buffer.from([...tags, tag].join(',')) }],
          deleteSpans: [],
        },
        { timeoutMs },
      ),
    );
    if (outcome.kind === 'ok') record.tag(list, tag, outcome.value.applied ? 'added' : 'refused');
    else record.tag(list, tag, outcome.kind === 'unknown' ? 'unknown' : 'refused');
  }

  // ---- scans

  /** Rows are reads of their keys; a key that a whole scan did not return was absent at some instant of it. */
  private async scan(): Promise<void> {
    const { prng, record, swarm } = this.options;
    const calledAt = this.now();
    const missing = new Set(Array.from({ length: swarm.keys }, (_, n) => `k${n}`));
    const scan = this.router.scan(prefixSpan(kvPrefix), {
      timeoutMs: swarm.operationTimeoutMs,
      batchRows: 1 + prng.nextBelow(8),
      reverse: prng.nextBelow(2) === 0,
    });
    const outcome = await this.tried(async () => {
      for await (const rows of scan) this.noteRows(rows, missing, calledAt);
    });
    if (outcome.kind !== 'ok') return;
    for (const key of missing)
      record.key(key).add({
        process: this.name,
        input: { kind: 'read' },
        calledAt,
        result: { kind: 'ok', output: { kind: 'value', value: undefined }, returnedAt: this.now() },
      });
  }

  private noteRows(rows: readonly KvRow[], missing: Set<string>, calledAt: number): void {
    const pair: string[] = [];
    for (const row of rows) {
      const name = keyToName(row.key);
      // Lists, and what only transactions write.
      if (name.startsWith('t') || name.startsWith('x')) continue;
      if (name.startsWith('k') && !missing.delete(name))
        throw new SimFailure('linearizability', `a scan returned ${name} twice, or out of nowhere`);
      if (name === 'p0' || name === 'q0') pair.push(textOf(row) ?? '');
      this.noteRead(name, row, calledAt, this.now());
    }
    if (pair.length === 2) this.checkPair(pair);
  }

  private noteRead(
    key: string,
    found: KvValue | undefined,
    calledAt: number,
    returnedAt: number,
  ): void {
    const value = textOf(found);
    const history = this.options.record.key(key);
    if (found !== undefined && value !== undefined) history.learn(key, found.timestamp, value);
    this.seen.set(key, { timestamp: found?.timestamp ?? 0, value });
    history.add({
      process: this.name,
      input: { kind: 'read' },
      calledAt,
      result: { kind: 'ok', output: { kind: 'value', value }, returnedAt },
    });
  }

  private checkPair(values: readonly Value[]): void {
    if (values[0] === values[1] || this.isPairCut()) return;
    throw new SimFailure('atomicity', `${this.name} read p0 = ${values[0]} and q0 = ${values[1]}`);
  }

  /** Then they can neither be written together nor be read at one moment. */
  private isPairCut(): boolean {
    return this.options.isCutBetween(nameToKey('p0'), nameToKey('q0'));
  }

  // ---- plumbing

  private async tried<T>(operation: () => Promise<T>): Promise<Outcome<T>> {
    const { record } = this.options;
    try {
      const value = await operation();
      record.ok++;
      return { kind: 'ok', value };
    } catch (error) {
      if (error instanceof SimFailure) throw error;
      if (!(error instanceof DbError) || !this.isExpected(error.code))
        throw new SimFailure('clientError', `${this.name}: ${String(error)}`, error);
      if (error.outcome === 'unknown') record.unknown++;
      else record.failed++;
      return { kind: error.outcome === 'unknown' ? 'unknown' : 'failed' };
    }
  }

  private isExpected(code: string): boolean {
    // What lay in one range when the write left may be cut when it arrives.
    return expectedCodes.has(code) || (code === 'NOT_SUPPORTED' && this.isPairCut());
  }

  /** Tells operations apart in the whole run. */
  private fresh(): string {
    return `${this.name}.${++this.made}`;
  }

  private now(): number {
    return this.options.client.host.world.nowMs();
  }

  private pause(ms: number): Promise<void> {
    const clock = this.options.client.host.clock();
    return new Promise((resolve) => void clock.setTimer(ms, resolve));
  }
}

const expectedCodes = new Set<string>(['TIMEOUT', 'UNAVAILABLE', 'BUSY', 'OUTCOME_UNKNOWN']);

export function nameToKey(name: string): Buffer {
  // A pair is to lie in one range, so its two keys are neighbours.
  if (name === 'p0' || name === 'q0') return Buffer.from([...kvPrefix, 0x20, ...Buffer.from(name)]);
  return keyOf(name.slice(0, 1), Number(name.slice(1)));
}

function keyToName(key: Uint8Array): string {
  return Buffer.from(key.subarray(kvPrefix.length + 1)).toString();
}

function mutationOf(key: string, value: Value): WriteMutation {
  if (value === undefined) return { kind: 'delete', key: nameToKey(key) };
  return { kind: 'put', key: nameToKey(key), value: Buffer.from(value) };
}

function textOf(found: KvValue | undefined): string | undefined {
  return found === undefined ? undefined : Buffer.from(found.value).toString();
}
