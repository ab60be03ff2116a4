/**
 * Writers that insert rows through the gateway at a steady rate and keep book: what was acknowledged and when, what is
 * unknown. A row is tried again only when the attempt surely did nothing.
 */
import pg from 'pg';
import { sleep } from './eventually.ts';

/** `refused`: surely nothing was written. `impossible`: an answer that a correct database cannot give here. */
export type Outcome = 'acknowledged' | 'refused' | 'unknown' | 'impossible';

/** SQLSTATEs after which nothing was written and the same statement may be tried again. */
const refusals = /^(40001|40P01|53...|57P03|08001|08004)$/;
/** A valid INSERT of a new unique key can be neither a duplicate nor an error of its own making. */
const impossible = /^(0A...|21...|22...|23...|42...)$/;

/** Judges the failure of one autocommit INSERT that may have reached the gateway. */
export function judge(error: unknown): Outcome {
  const code = error instanceof pg.DatabaseError ? error.code : undefined;
  if (code === undefined) return 'unknown';
  if (refusals.test(code)) return 'refused';
  return impossible.test(code) ? 'impossible' : 'unknown';
}

export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

export interface WriterOptions {
  readonly url: string;
  /** Connections, each with one statement under way at a time. */
  readonly connections: number;
  /** Attempts begun per second, over all connections. */
  readonly perSecond: number;
  /** The statement for the n-th piece of work, from 0. Unique keys: a statement done twice must not go unnoticed. */
  readonly statement: (n: number) => Statement;
  /** An attempt that takes longer counts as unknown, and its connection is given up. Default: 15 s. */
  readonly timeoutMs?: number;
}

export interface Acknowledgement {
  readonly n: number;
  /** `performance.now()` when the answer came. */
  readonly at: number;
}

export class PgWriters {
  readonly acknowledged: Acknowledgement[] = [];
  readonly unknown: number[] = [];
  /** Answers that prove a bug, e.g. 23505 for a key that was never written before. Must stay empty. */
  readonly impossible: string[] = [];
  refusals = 0;
  /** Messages of failures, with how often each came. */
  readonly failures: Map<string, number> = new Map();
  private readonly options: WriterOptions;
  private readonly workers: Promise<void>[];
  private next = 0;
  private stopping = false;

  constructor(options: WriterOptions) {
    this.options = options;
    this.workers = Array.from({ length: options.connections }, (_, index) => this.work(index));
  }

  /** How many pieces of work were begun. */
  get begun(): number {
    return this.next;
  }

  /** Waits for the statements under way and closes the connections. */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.workers);
  }

  /** The longest time without an acknowledgement in [from, until], of `performance.now()`. Unit: ms. */
  longestGapMs(from: number, until: number): number {
    return longestGap(
      this.acknowledged.map(({ at }) => at),
      from,
      until,
    );
  }

  acknowledgedBetween(from: number, until: number): number {
    return this.acknowledged.filter(({ at }) => at > from && at < until).length;
  }

  private async work(index: number): Promise<void> {
    const everyMs = (1000 * this.options.connections) / this.options.perSecond;
    const connection = new Connection(this.options, (error) => this.note(error));
    let dueAt = performance.now() + (everyMs * index) / this.options.connections;
    while (!this.stopping) {
      const n = this.next++;
      for (;;) {
        await sleep(dueAt - performance.now());
        dueAt = Math.max(dueAt + everyMs, performance.now());
        const outcome = await connection.insert(this.options.statement(n));
        this.record(n, outcome);
        if (outcome !== 'refused' || this.stopping) break;
      }
    }
    connection.close();
  }

  private record(n: number, outcome: Outcome): void {
    switch (outcome) {
      case 'acknowledged':
        this.acknowledged.push({ n, at: performance.now() });
        break;
      case 'unknown':
        this.unknown.push(n);
        break;
      case 'impossible':
        this.impossible.push(`work ${n}: ${[...this.failures.keys()].at(-1)}`);
        break;
      case 'refused':
        this.refusals++;
    }
  }

  private note(error: unknown): void {
    const code = error instanceof pg.DatabaseError ? `${error.code} ` : '';
    const message = `${code}${error instanceof Error ? error.message : String(error)}`;
    const count = this.failures.get(message) ?? 0;
    this.failures.delete(message);
    this.failures.set(message, count + 1);
  }
}

/** One connection to the gateway, opened anew when it was lost or left in doubt. */
class Connection {
  private readonly options: WriterOptions;
  private readonly note: (error: unknown) => void;
  private client: pg.Client | undefined;

  constructor(options: WriterOptions, note: (error: unknown) => void) {
    this.options = options;
    this.note = note;
  }

  async insert(statement: Statement): Promise<Outcome> {
    const client = this.client ?? (await this.open());
    if (client === undefined) return 'refused';
    try {
      await client.query(statement.text, [...statement.values]);
      return 'acknowledged';
    } catch (error) {
      this.note(error);
      const outcome = judge(error);
      if (outcome === 'unknown') this.close();
      return outcome;
    }
  }

  /** Does not wait: the other end may be stopped or dead. */
  close(): void {
    void this.client?.end().catch(() => {});
    this.client = undefined;
  }

  private async open(): Promise<pg.Client | undefined> {
    const client = new pg.Client({
      connectionString: this.options.url,
      connectionTimeoutMillis: 2000,
      query_timeout: this.options.timeoutMs ?? 15_000,
    });
    const forget = (): void => {
      if (this.client === client) this.client = undefined;
    };
    client.on('error', forget);
    client.on('end', forget);
    try {
      await client.connect();
      this.client = client;
      return client;
    } catch (error) {
      this.note(error);
      void client.end().catch(() => {});
      return undefined;
    }
  }
}

/** The longest stretch of [from, until] that holds none of `times`. */
export function longestGap(times: readonly number[], from: number, until: number): number {
  const inside = times.filter((at) => at > from && at < until).sort((a, b) => a - b);
  let before = from;
  let longest = 0;
  for (const at of [...inside, until]) {
    longest = Math.max(longest, at - before);
    before = at;
  }
  return longest;
}
