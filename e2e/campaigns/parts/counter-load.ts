/** Counters that are added to by UPDATE under READ COMMITTED: none of the additions may be lost, none made twice. */
import type { Flotilla } from '@flotilla/client';
import { sleep } from '../../harness/eventually.ts';
import { regionIds } from './list-load.ts';
import { WorkerLoad } from './worker-load.ts';

const counters = 8;

export class CounterLoad extends WorkerLoad {
  private readonly clients: readonly Flotilla[];
  private readonly sure = new Map<number, number>();
  private readonly unknown = new Map<number, number>();

  private constructor(clients: readonly Flotilla[]) {
    super();
    this.clients = clients;
  }

  static async start(
    clients: readonly Flotilla[],
    workers: number,
    regions: number,
  ): Promise<CounterLoad> {
    const load = new CounterLoad(clients);
    const [client] = clients;
    if (client === undefined) throw new Error('the load has no client');
    await client.sql`CREATE TABLE counters (id int PRIMARY KEY, v int NOT NULL)`;
    const ids = Array.from({ length: counters }, (_, n) => (n % regions) * regionIds + n);
    for (const id of ids) await client.sql`INSERT INTO counters (id, v) VALUES (${id}, 0)`;
    load.employ(workers, (worker) => load.work(worker, ids));
    return load;
  }

  get additions(): number {
    return [...this.sure.values()].reduce((sum, count) => sum + count, 0);
  }

  /** @returns what is wrong */
  async check(): Promise<string | undefined> {
    const [client] = this.clients;
    if (client === undefined) throw new Error('the load has no client');
    const { rows } = await client.sql<{ id: number; v: number }>`SELECT id, v FROM counters`;
    const wrong = rows.flatMap(({ id, v }) => {
      const [sure, unknown] = [this.sure.get(id) ?? 0, this.unknown.get(id) ?? 0];
      const fits = sure <= v && v <= sure + unknown;
      return fits ? [] : [`counter ${id} is ${v} after ${sure} additions and ${unknown} unknown`];
    });
    if (rows.length !== counters) wrong.push(`${rows.length} counters`);
    return wrong.length === 0 ? undefined : wrong.join('; ');
  }

  private async work(worker: number, ids: readonly number[]): Promise<void> {
    const client = this.clients[worker % this.clients.length];
    while (!this.stopping && client !== undefined) {
      const id = ids[Math.floor(Math.random() * ids.length)] ?? 0;
      try {
        await client.transaction(
          async ({ sql }) => {
            const { rowCount } = await sql`UPDATE counters SET v = v + 1 WHERE id = ${id}`;
            if (rowCount !== 1) throw new Error(`${rowCount} counters changed`);
          },
          { isolation: 'read committed', retries: 30, timeoutMs: 30_000 },
        );
        note(this.sure, id);
      } catch (error) {
        if (this.noteFailure(error) === 'unknown') note(this.unknown, id);
      }
      await sleep(20 * Math.random());
    }
  }
}

function note(counts: Map<number, number>, id: number): void {
  counts.set(id, (counts.get(id) ?? 0) + 1);
}
