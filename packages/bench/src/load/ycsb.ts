/**
 * The six core workloads of the Yahoo! Cloud Serving Benchmark over a key-value client (Cooper et al., 2010, table 2). A
 * record is one value of 1,000 bytes. As there, but for two things: popularity is spread over keys by a permutation
 * instead of a hash, and "latest" is Zipfian over as many of the newest records as were there at the beginning.
 */
import type { KvClient } from './kv-client.ts';
import { random } from './random.ts';
import { scattered, Zipfian } from './zipfian.ts';

export type YcsbName = 'a' | 'b' | 'c' | 'd' | 'e' | 'f';

interface Mix {
  readonly read?: number;
  readonly update?: number;
  readonly insert?: number;
  readonly scan?: number;
  readonly modify?: number;
  /** Which records are popular: always the same, or those that were inserted last. */
  readonly popular: 'same' | 'latest';
}

/** Shares in percent. */
export const ycsbMixes: Readonly<Record<YcsbName, Mix>> = {
  a: { read: 50, update: 50, popular: 'same' },
  b: { read: 95, update: 5, popular: 'same' },
  c: { read: 100, popular: 'same' },
  d: { read: 95, insert: 5, popular: 'latest' },
  e: { scan: 95, insert: 5, popular: 'same' },
  f: { read: 50, modify: 50, popular: 'same' },
};

/** Scans are of 1 to so many records, each number as often. */
export const scanRecordsMax = 100;
/** A read-modify-write that others were faster than is made again, at most so often. */
const triesMax = 100;

/** Numbers of new records; those below `acknowledged` are there. One for all clients of a load. */
export class InsertSequence {
  private started: number;
  private done: number;
  private readonly ahead = new Set<number>();

  /** @param first records that are there already */
  constructor(first: number) {
    this.started = first;
    this.done = first;
  }

  get acknowledged(): number {
    return this.done;
  }

  next(): number {
    return this.started++;
  }

  acknowledge(number: number): void {
    this.ahead.add(number);
    while (this.ahead.delete(this.done)) this.done++;
  }
}

export interface YcsbOptions {
  readonly client: KvClient;
  readonly name: YcsbName;
  readonly records: number;
  readonly keyOf: (record: number) => Buffer;
  readonly value: Buffer;
  readonly inserts: InsertSequence;
  readonly seed: number;
}

/** @returns one operation of one client; throws if it fails, or finds nothing where there is a record */
export function ycsbClient(options: YcsbOptions): () => Promise<void> {
  const { client, records, keyOf, value, inserts } = options;
  const { popular, ...shares } = ycsbMixes[options.name];
  const chance = random(options.seed);
  const zipfian = new Zipfian(records, chance);
  const chosen = (): Buffer => {
    const rank = zipfian.next();
    const record =
      popular === 'latest' ? inserts.acknowledged - 1 - rank : scattered(rank, records);
    return keyOf(record);
  };
  const operations: Readonly<Record<keyof typeof shares, () => Promise<void>>> = {
    async read() {
      if (!(await client.get(chosen()))) throw new Error('a record is missing');
    },
    update: () => client.put(chosen(), value),
    async insert() {
      const record = inserts.next();
      await client.put(keyOf(record), value);
      inserts.acknowledge(record);
    },
    async scan() {
      const most = 1 + Math.floor(chance() * scanRecordsMax);
      if ((await client.scan(chosen(), most)) === 0) throw new Error('a record is missing');
    },
    async modify() {
      const key = chosen();
      for (let attempt = 0; attempt < triesMax; attempt++) {
        const version = await client.version(key);
        if (version === undefined) throw new Error('a record is missing');
        if (await client.putIfVersion(key, value, version)) return;
      }
      throw new Error(`others were faster ${triesMax} times`);
    },
  };
  return () => {
    let left = chance() * 100;
    for (const [operation, share] of Object.entries(shares)) {
      left -= share;
      if (left < 0) return operations[operation as keyof typeof shares]();
    }
    return operations.read();
  };
}
