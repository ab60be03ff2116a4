/**
 * One transaction as a workload sees it: texts by key. Every value begins with the name of the transaction that wrote it,
 * so that whoever finds it knows from whom it is. Notes what is written; what was read is noted by the witness.
 */
import type { Prng, Span } from '@flotilla/base';
import { type KvTransaction, lockedByOther, type ReadOptions } from '@flotilla/sql/protocol';
import type { TransactionSwarm } from '../../swarm.ts';
import { growth } from './growth.ts';
import { reading, valuesRead } from './reading.ts';
import { keyText, type TransactionTrace } from './trace.ts';

export interface SessionOptions {
  readonly transaction: KvTransaction;
  readonly trace: TransactionTrace;
  readonly swarm: TransactionSwarm;
  readonly prng: Prng;
  /** True time. */
  readonly now: () => number;
  readonly pause: (ms: number) => Promise<void>;
}

export interface Entry {
  readonly key: Buffer;
  readonly payload: string;
}

export class Session {
  readonly trace: TransactionTrace;
  readonly prng: Prng;
  readonly swarm: TransactionSwarm;
  /** A step was its commit as well. */
  hasCommitted = false;
  private readonly transaction: KvTransaction;
  private reads: number;
  private readonly options: SessionOptions;

  constructor(options: SessionOptions) {
    this.options = options;
    this.trace = options.trace;
    this.prng = options.prng;
    this.swarm = options.swarm;
    this.transaction = options.transaction;
    // Transactions do not all begin alike.
    this.reads = [...options.trace.name].reduce((sum, letter) => sum + letter.charCodeAt(0), 0);
  }

  /** True time. */
  now(): number {
    return this.options.now();
  }

  /** Under READ COMMITTED a commit checks only what was locked, or read and written by one statement. */
  get isSerializable(): boolean {
    return this.trace.isolation === 'serializable';
  }

  statement(): void {
    this.transaction.beginStatement();
    this.trace.statementAt = this.options.now();
  }

  /** Undefined = absent. */
  async get(key: Buffer, options: ReadOptions = {}): Promise<string | undefined> {
    if (this.evaluates(options)) return (await this.evaluated([key]))[0];
    return payloadOf(await this.transaction.get(key, options));
  }

  async getMany(
    keys: readonly Buffer[],
    options: ReadOptions & { readonly wait?: 'block' | 'nowait' } = {},
  ): Promise<readonly (string | undefined)[]> {
    if (this.evaluates(options)) return this.evaluated(keys);
    const found = await this.transaction.getMany(keys, options);
    return found.map(payloadOf);
  }

  /** Every third read without a lock is made by a program at the stores. */
  private evaluates({ lock }: ReadOptions): boolean {
    return lock === undefined && ++this.reads % 3 === 0;
  }

  private async evaluated(keys: readonly Buffer[]): Promise<readonly (string | undefined)[]> {
    const found = keys.map((): Uint8Array | undefined => undefined);
    const from = this.trace.reads.length;
    const parts = this.transaction.evaluateKeys(keys, reading);
    if (parts === undefined) return this.getMany(keys);
    for await (const { positions, result, values } of parts) {
      values.forEach((value, i) => {
        found[positions[i] ?? 0] = value;
      });
      if (result === undefined) continue;
      for (const { position, value } of valuesRead(result))
        found[positions[position] ?? 0] = Buffer.from(value);
    }
    const shown = found.map((value) => value && Buffer.from(value).toString());
    this.trace.onShown(from, new Map(keys.map((key, i) => [keyText(key), shown[i]])));
    return found.map(payloadOf);
  }

  /** Of the keys that nobody else has locked. */
  async lockFree(keys: readonly Buffer[]): Promise<readonly Entry[]> {
    const found = await this.transaction.getMany(keys, { lock: 'exclusive', wait: 'skip' });
    return keys.flatMap((key, i) => {
      const value = found[i];
      const payload = value === lockedByOther ? undefined : payloadOf(value);
      return payload === undefined ? [] : [{ key, payload }];
    });
  }

  async scan(span: Span, options: { readonly reverse: boolean }): Promise<readonly Entry[]> {
    const entries: Entry[] = [];
    for await (const pairs of this.transaction.scan(span, options))
      for (const { key, value } of pairs)
        entries.push({ key: Buffer.from(key), payload: payloadOf(value) ?? '' });
    return entries;
  }

  put(key: Buffer, payload: string): void {
    this.putRaw(key, `${this.trace.name}|${payload}`);
  }

  /** Without the name. */
  putRaw(key: Buffer, value: string): void {
    this.trace.writes.set(keyText(key), 'put');
    this.transaction.put(key, Buffer.from(value));
  }

  insert(key: Buffer, payload: string): void {
    this.trace.writes.set(keyText(key), 'put');
    this.transaction.insert(key, Buffer.from(`${this.trace.name}|${payload}`));
  }

  /**
   * All that the transaction does: the payload grows by an element where it lies.
   * @returns false: nothing was written, and the transaction may do something else
   */
  async growWhereItLies(key: Buffer, element: string): Promise<boolean> {
    const { trace } = this;
    trace.writes.set(keyText(key), 'put');
    trace.committing = true;
    this.hasCommitted = await this.transaction.commitComputed(
      key,
      growth({ name: trace.name, element }),
    );
    if (!this.hasCommitted) {
      trace.writes.clear();
      trace.committing = false;
    }
    return this.hasCommitted;
  }

  delete(key: Buffer): void {
    this.trace.writes.set(keyText(key), 'delete');
    this.transaction.delete(key);
  }

  /** Now and then some time passes between two steps. */
  async dawdle(): Promise<void> {
    const { prng, pause } = this.options;
    if (prng.nextBelow(4) === 0) await pause(prng.nextFloat() * this.swarm.thinkMsMax);
  }

  /** How a read goes whose lock nothing depends on. */
  mayLock(): ReadOptions {
    if (this.prng.nextFloat() >= this.swarm.lockShare) return {};
    const lock = this.prng.nextBelow(4) === 0 ? 'share' : 'exclusive';
    return this.prng.nextBelow(6) === 0 ? { lock, wait: 'nowait' } : { lock };
  }
}

function payloadOf(value: Uint8Array | undefined): string | undefined {
  if (value === undefined) return undefined;
  const text = Buffer.from(value).toString();
  return text.slice(text.indexOf('|') + 1);
}
