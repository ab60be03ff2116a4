/** What the guard measures of Flotilla: two key-value loads, two of SQL over small tables. */
import type { RateSample } from '../measure/summary.ts';
import { fillKv, sampleKv } from '../run-kv.ts';
import { copyRows } from '../sql/copy-rows.ts';
import { psql, sqlUrl } from '../sql/programs.ts';
import { samplePgbench } from '../sql/run-pgbench.ts';
import type { System } from '../systems/system.ts';
import type { KvWorkload } from '../workloads.ts';

export interface QuickTurn {
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly round: number;
}

export interface QuickWorkload {
  readonly name: string;
  sample(system: System, turn: QuickTurn): Promise<RateSample>;
}

const sqlClients = 8;
const branches = 8;
const accounts = 8_000;

/** TPC-B in small: one row of each table changes, and one comes in. */
const transfer = `\\set aid random(1, ${accounts})
\\set bid random(1, ${branches})
\\set delta random(-5000, 5000)
BEGIN;
UPDATE quick_accounts SET balance = balance + :delta WHERE aid = :aid;
SELECT balance FROM quick_accounts WHERE aid = :aid;
UPDATE quick_branches SET balance = balance + :delta WHERE bid = :bid;
INSERT INTO quick_history (bid, aid, delta) VALUES (:bid, :aid, :delta);
END;
`;
const select = `\\set aid random(1, ${accounts})
SELECT balance FROM quick_accounts WHERE aid = :aid;
`;

function kv(operation: 'put' | 'get'): KvWorkload {
  return {
    ...{ kind: 'kv', over: 'kv', name: `kv-${operation}-64`, group: '', point: '' },
    job: {
      ...{ clients: 64, keyBytes: 64, valueBytes: 64, keys: 2_000 },
      operation: { kind: 'mix', readShare: operation === 'put' ? 0 : 1 },
    },
  };
}

export const quickWorkloads: readonly QuickWorkload[] = [
  ...[kv('put'), kv('get')].map((workload) => ({
    name: workload.name,
    sample: (system: System, turn: QuickTurn) => sampleKv(system, workload, turn),
  })),
  ...Object.entries({ select, transfer }).map(([name, script]) => ({
    name: `pg-${name}-${sqlClients}`,
    sample: (system: System, turn: QuickTurn) =>
      samplePgbench(system, { clients: sqlClients, script }, turn),
  })),
];

/** What the workloads read must be there. */
export async function fillQuick(system: System): Promise<void> {
  await fillKv(system, kv('get').job);
  const url = sqlUrl(system);
  await psql(
    url,
    `CREATE TABLE quick_accounts (aid int PRIMARY KEY, balance int NOT NULL);
CREATE TABLE quick_branches (bid int PRIMARY KEY, balance int NOT NULL);
CREATE TABLE quick_history (bid int NOT NULL, aid int NOT NULL, delta int NOT NULL);`,
  );
  await psql(
    url,
    copyRows('quick_branches', branches, (n) => `${n + 1}\t0`),
  );
  await psql(
    url,
    copyRows('quick_accounts', accounts, (n) => `${n + 1}\t0`),
  );
}
