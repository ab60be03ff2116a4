/** Rows inserted through the SDK at a steady rate, each once, and the book of what was acknowledged. */
import type { Flotilla } from '@flotilla/client';
import { checkSet } from '@flotilla/client/testing';
import { sleep } from '../../harness/eventually.ts';
import { WorkerLoad } from './worker-load.ts';

export interface RowLoadOptions {
  readonly clients: readonly Flotilla[];
  readonly workers: number;
  /** Rows begun per second, all workers together. */
  readonly perSecond: number;
  /** Tables, which lie apart in the key space. */
  readonly tables: number;
  readonly bodyBytes: number;
}

export class RowLoad extends WorkerLoad {
  /** When a row was acknowledged and how long that took. Unit: ms. */
  readonly acknowledged: { readonly at: number; readonly tookMs: number }[] = [];
  private readonly options: RowLoadOptions;
  private readonly done: string[] = [];
  private readonly unknown: string[] = [];
  private next = 0;

  private constructor(options: RowLoadOptions) {
    super();
    this.options = options;
  }

  static async start(options: RowLoadOptions): Promise<RowLoad> {
    const load = new RowLoad(options);
    const [client] = options.clients;
    for (let table = 0; table < options.tables; table++)
      await client?.sql.unsafe(
        `CREATE TABLE rows_${table} (id int PRIMARY KEY, body text NOT NULL)`,
      );
    load.employ(options.workers, (worker) => load.work(worker));
    return load;
  }

  /** @returns what is wrong: rows that are lost, or there though nobody wrote them */
  async check(): Promise<string | undefined> {
    const [client] = this.options.clients;
    const found: string[] = [];
    for (let table = 0; table < this.options.tables; table++) {
      const result = await client?.sql.unsafe(`SELECT id FROM rows_${table}`);
      found.push(...(result?.rows ?? []).map((row) => String(row.id)));
    }
    const verdict = checkSet({ acknowledged: this.done, unknown: this.unknown, found });
    return verdict.kind === 'ok' ? undefined : verdict.message;
  }

  private async work(worker: number): Promise<void> {
    const { clients, workers, perSecond, tables, bodyBytes } = this.options;
    const client = clients[worker % clients.length];
    const everyMs = (1000 * workers) / perSecond;
    let dueAt = performance.now() + (everyMs * worker) / workers;
    while (!this.stopping && client !== undefined) {
      await sleep(dueAt - performance.now());
      dueAt = Math.max(dueAt + everyMs, performance.now());
      const n = this.next++;
      // Ids are spread, so that every part of a table grows.
      const id = Math.imul(n, 0x9e3779b1) | 0;
      const text = `INSERT INTO rows_${n % tables} (id, body) VALUES ($1, $2)`;
      const body = `${n}`.padEnd(bodyBytes, 'x');
      while (!(await this.insert(client, text, id, body)) && !this.stopping) await sleep(50);
    }
  }

  /** @returns false: surely not there, to be tried again */
  private async insert(client: Flotilla, text: string, id: number, body: string): Promise<boolean> {
    const from = performance.now();
    try {
      await client.sql.unsafe(text, [id, body]);
      const at = performance.now();
      this.acknowledged.push({ at, tookMs: at - from });
      this.done.push(String(id));
      return true;
    } catch (error) {
      const outcome = this.noteFailure(error);
      if (outcome !== 'refused') this.unknown.push(String(id));
      return outcome !== 'refused';
    }
  }
}
