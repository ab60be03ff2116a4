/**
 * Clients that append to lists and read them, several lists in one transaction, and the history for `checkListAppend`.
 * Lists are rows of one SQL table, in regions of ids that the campaign puts into ranges of their own, and keys of the
 * key-value store. A list that has grown is left alone and another begun, so that reads stay short. Every attempt of a
 * transaction counts as a transaction and appends values of its own, so that one that was abandoned betrays itself.
 */
import type { Flotilla, Transaction, TransactionOptions } from '@flotilla/client';
import {
  checkListAppend,
  checkSet,
  type ListOperation,
  type ListTransaction,
  printAnomalies,
} from '@flotilla/client/testing';
import { sleep } from '../../harness/eventually.ts';
import { type FailureCounts, judgeSdkFailure } from './sdk-outcome.ts';
import { WorkerLoad } from './worker-load.ts';

export type Isolation = NonNullable<TransactionOptions['isolation']>;

export interface ListLoadOptions {
  /** One after another for the workers. */
  readonly clients: readonly Flotilla[];
  readonly workers: number;
  readonly isolation: Isolation;
  /** Ids of the rows are `region * regionIds + n`. */
  readonly regions: number;
  /** Lists that are in use at one time, rows and keys together. */
  readonly lists: number;
  readonly appendsPerList: number;
  /** Between two transactions of a worker. */
  readonly pauseMs: number;
  /** The first list's number; loads beside each other need numbers of their own. Default: 1. */
  readonly firstId?: number;
}

/** Ids of one region. */
export const regionIds = 1_000_000;

interface List {
  readonly kind: 'row' | 'key';
  readonly id: number;
  appends: number;
}

export class ListLoad extends WorkerLoad {
  readonly history: ListTransaction[] = [];
  readonly committedAt: number[] = [];
  unknown = 0;
  private readonly options: ListLoadOptions;
  private readonly all: List[] = [];
  private readonly live: List[] = [];
  private nextId: number;
  private nextValue = 1;

  constructor(options: ListLoadOptions) {
    super();
    this.options = options;
    this.nextId = options.firstId ?? 1;
  }

  static async start(options: ListLoadOptions): Promise<ListLoad> {
    const load = new ListLoad(options);
    await load.client(0)
      .sql`CREATE TABLE IF NOT EXISTS lists (id int PRIMARY KEY, v text NOT NULL)`;
    for (let i = 0; i < options.lists; i++) load.live.push(await load.begin());
    load.employ(options.workers, (worker) => load.work(worker));
    return load;
  }

  /** Reads all lists once more and judges the history. @returns what is wrong */
  async check(): Promise<string | undefined> {
    const last: ListOperation[] = [];
    // Several transactions: everything stands still.
    for (let from = 0; from < this.all.length; from += 20) {
      const some = this.all.slice(from, from + 20);
      const read = await this.client(0).transaction(async (transaction) => {
        const operations: ListOperation[] = [];
        for (const list of some) operations.push(await readOf(transaction, list));
        return operations;
      });
      last.push(...read);
    }
    const found = last.flatMap(({ key, ...rest }) =>
      rest.kind === 'read' ? rest.values.map((value) => `${key}/${value}`) : [],
    );
    const appended = (outcome: ListTransaction['outcome']): string[] =>
      this.history
        .filter((transaction) => transaction.outcome === outcome)
        .flatMap(({ operations }) => operations)
        .flatMap((each) => (each.kind === 'append' ? [`${each.key}/${each.value}`] : []));
    const set = checkSet({
      acknowledged: appended('committed'),
      unknown: appended('unknown'),
      found,
    });
    if (set.kind !== 'ok') return set.message;
    const history = [
      ...this.history,
      { name: 'last', operations: last, outcome: 'committed' as const },
    ];
    const anomalies = checkListAppend(history).filter(
      // READ COMMITTED may read a list twice and find more in it.
      ({ kind }) => this.options.isolation === 'serializable' || kind !== 'internal',
    );
    return anomalies.length === 0 ? undefined : printAnomalies(anomalies);
  }

  count(outcome: ListTransaction['outcome']): number {
    return this.history.filter((transaction) => transaction.outcome === outcome).length;
  }

  private client(index: number): Flotilla {
    const client = this.options.clients[index % this.options.clients.length];
    if (client === undefined) throw new Error('the load has no client');
    return client;
  }

  /** A list with nothing in it. Rows and keys in turn, of each region in turn. */
  private async begin(): Promise<List> {
    const n = this.nextId++;
    const { regions } = this.options;
    const id = (n % regions) * regionIds + n;
    const list: List = { kind: n % 4 === 3 ? 'key' : 'row', id, appends: 0 };
    if (list.kind === 'row')
      await untilDone(
        this.failures,
        () => this.client(n).sql`
        INSERT INTO lists (id, v) VALUES (${id}, '') ON CONFLICT (id) DO NOTHING`,
      );
    this.all.push(list);
    return list;
  }

  private async work(worker: number): Promise<void> {
    const client = this.client(worker);
    for (let n = 0; !this.stopping; n++) {
      await this.transact(client, `w${worker}.${n}`);
      await this.replaceGrown();
      await sleep(this.options.pauseMs * (0.5 + Math.random()));
    }
  }

  private async replaceGrown(): Promise<void> {
    for (const [index, list] of this.live.entries()) {
      if (list.appends < this.options.appendsPerList) continue;
      list.appends = Number.NEGATIVE_INFINITY; // one worker does it
      this.live[index] = await this.begin();
    }
  }

  private async transact(client: Flotilla, name: string): Promise<void> {
    const steps = Array.from({ length: 1 + Math.floor(Math.random() * 4) }, () => ({
      list: this.live[Math.floor(Math.random() * this.live.length)],
      append: Math.random() < 0.5,
    }));
    let attempt = 0;
    let operations: ListOperation[] = [];
    let calledAt = performance.now();
    const { isolation } = this.options;
    const finish = (outcome: ListTransaction['outcome']): void => {
      const returnedAt = performance.now();
      const times = { process: name.split('.')[0], calledAt, returnedAt };
      this.history.push({ name: `${name}#${attempt}`, operations, outcome, isolation, ...times });
    };
    try {
      await client.transaction(
        async (transaction) => {
          if (attempt++ > 0) finish('aborted');
          operations = [];
          calledAt = performance.now();
          for (const { list, append } of steps) {
            if (list === undefined) continue;
            if (!append) operations.push(await readOf(transaction, list));
            else operations.push(await appendTo(transaction, list, this.nextValue++));
          }
        },
        { isolation, retries: 30, timeoutMs: 30_000 },
      );
      finish('committed');
      this.committedAt.push(performance.now());
      for (const { list, append } of steps) if (append && list !== undefined) list.appends++;
    } catch (error) {
      const outcome = this.noteFailure(error);
      finish(outcome === 'unknown' ? 'unknown' : 'aborted');
      if (outcome === 'unknown') this.unknown++;
    }
  }
}

function nameOf({ kind, id }: List): string {
  return `${kind}-${id}`;
}

/** Two bytes that spread them, then the id. */
function keyOf({ id }: List): Uint8Array {
  const key = Buffer.alloc(6);
  key.writeUInt16BE((id * 40_503) & 0xffff);
  key.writeUInt32BE(id, 2);
  return key;
}

function valuesOf(text: string): number[] {
  return text.split(',').filter(Boolean).map(Number);
}

async function readOf(transaction: Transaction, list: List): Promise<ListOperation> {
  const key = nameOf(list);
  if (list.kind === 'key') {
    const value = await transaction.kv.get(keyOf(list));
    return { kind: 'read', key, values: valuesOf(Buffer.from(value ?? []).toString('latin1')) };
  }
  const { rows } = await transaction.sql<{ v: string }>`SELECT v FROM lists WHERE id = ${list.id}`;
  if (rows.length !== 1) throw new Error(`there are ${rows.length} rows of ${key}`);
  return { kind: 'read', key, values: valuesOf(rows[0]?.v ?? '') };
}

async function appendTo(
  transaction: Transaction,
  list: List,
  value: number,
): Promise<ListOperation> {
  if (list.kind === 'key') {
    const before = await transaction.kv.getForUpdate(keyOf(list));
    transaction.kv.put(
      keyOf(list),
      Buffer.concat([before ?? Buffer.alloc(0), Buffer.from(`${value},`)]),
    );
  } else {
    const result = await transaction.sql`
      UPDATE lists SET v = v || ${`${value},`} WHERE id = ${list.id}`;
    if (result.rowCount !== 1)
      throw new Error(`${result.rowCount} rows of ${nameOf(list)} changed`);
  }
  return { kind: 'append', key: nameOf(list), value };
}

/** Tries until it is done, for work that may be done twice. */
export async function untilDone(
  failures: FailureCounts,
  work: () => Promise<unknown>,
): Promise<void> {
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      const failure = judgeSdkFailure(error);
      if (failure.outcome === 'impossible') throw error;
      failures.note(failure.message);
      await sleep(100);
    }
  }
}
