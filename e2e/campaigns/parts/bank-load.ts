/** Transfers between accounts that lie in several ranges, and reads of all of them: the total never changes. */
import type { Flotilla } from '@flotilla/client';
import { sleep } from '../../harness/eventually.ts';
import { regionIds } from './list-load.ts';
import { WorkerLoad } from './worker-load.ts';

const accounts = 100;
const balance = 1000;

export class BankLoad extends WorkerLoad {
  /** Totals that are wrong. */
  readonly wrong: string[] = [];
  transfers = 0;
  reads = 0;
  private readonly clients: readonly Flotilla[];

  private constructor(clients: readonly Flotilla[]) {
    super();
    this.clients = clients;
  }

  /** Makes the table if it is not there. Half of the workers read. */
  static async start(
    clients: readonly Flotilla[],
    workers: number,
    regions: number,
  ): Promise<BankLoad> {
    const load = new BankLoad(clients);
    const [client] = clients;
    if (client === undefined) throw new Error('the load has no client');
    await client.sql`CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL)`;
    const ids = Array.from({ length: accounts }, (_, n) => (n % regions) * regionIds + n);
    const rows = ids.map((id) => `(${id}, ${balance})`).join(', ');
    await client.sql.unsafe(`INSERT INTO accounts (id, balance) VALUES ${rows}`);
    load.employ(workers, (worker) => load.work(worker, ids));
    return load;
  }

  private async work(worker: number, ids: readonly number[]): Promise<void> {
    const client = this.clients[worker % this.clients.length];
    while (!this.stopping && client !== undefined) {
      try {
        if (worker % 2 === 0) await this.transfer(client, ids);
        else await this.read(client);
      } catch (error) {
        this.noteFailure(error);
      }
      await sleep(20 * Math.random());
    }
  }

  private async transfer(client: Flotilla, ids: readonly number[]): Promise<void> {
    const [from, to] = [anyOf(ids), anyOf(ids)];
    if (from === to) return;
    const amount = 1 + Math.floor(Math.random() * 10);
    await client.transaction(
      async ({ sql }) => {
        const { rows } = await sql<{
          balance: number;
        }>`SELECT balance FROM accounts WHERE id = ${from}`;
        if ((rows[0]?.balance ?? 0) < amount) return;
        await sql`UPDATE accounts SET balance = balance - ${amount} WHERE id = ${from}`;
        await sql`UPDATE accounts SET balance = balance + ${amount} WHERE id = ${to}`;
      },
      { retries: 30, timeoutMs: 30_000 },
    );
    this.transfers++;
  }

  private async read(client: Flotilla): Promise<void> {
    const { rows } = await client.sql<{ total: number; count: number; least: number }>`
      SELECT sum(balance)::int AS total, count(*)::int AS count, min(balance) AS least FROM accounts`;
    const [row] = rows;
    this.reads++;
    if (row?.total !== accounts * balance || row.count !== accounts || row.least < 0)
      this.wrong.push(JSON.stringify(row));
  }
}

function anyOf(ids: readonly number[]): number {
  return ids[Math.floor(Math.random() * ids.length)] ?? 0;
}
