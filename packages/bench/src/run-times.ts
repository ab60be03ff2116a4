/** What is measured once per turn, and less is better: pauses of writes when members die, restarts, a bulk load. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connectKv } from './load/connect-kv.ts';
import { type KvJob, keyOf } from './load/kv-job.ts';
import type { GapResult } from './load/write-gap.ts';
import type { TimeSample } from './measure/summary.ts';
import { watchUsage } from './measure/usage-watch.ts';
import { fillKv, startLoad } from './run-kv.ts';
import { copyRows } from './sql/copy-rows.ts';
import { psql, sqlUrl } from './sql/programs.ts';
import type { System } from './systems/system.ts';
import type { TimeWorkload } from './workloads.ts';

/** Of writes before the first member dies. */
const calmMs = 2_000;
/** Between the death of a member and its restart. */
const deadMs = 5_000;
/** Between its restart and the death of the next one: it has what it missed by then. */
const backMs = 5_000;
const restartTimeoutMs = 600_000;
const attemptTimeoutMs = 1_000;
const ballastValueBytes = 16_384;
const ballastRowBytes = 1_000;
const copiedRowBytes = 100;

export interface TimeOptions {
  /** What lies on disk when a restart is measured. Unit: GB. */
  readonly gigabytes: number;
  /** Of a bulk load. */
  readonly copyRows: number;
}

/** What must be there before the first turn. */
export async function prepareTime(
  system: System,
  { measure, over }: TimeWorkload,
  { gigabytes }: TimeOptions,
): Promise<void> {
  if (measure !== 'restart') return;
  if (over === 'kv') {
    const keys = Math.ceil((gigabytes * 1e9) / ballastValueBytes);
    await fillKv(system, ballast(keys));
    return;
  }
  const url = sqlUrl(system);
  await psql(
    url,
    `DROP TABLE IF EXISTS ballast, restarts;
CREATE TABLE ballast (id int PRIMARY KEY, body text NOT NULL);
CREATE TABLE restarts (id int PRIMARY KEY, n int NOT NULL);
INSERT INTO restarts VALUES (1, 0);`,
  );
  const rows = Math.ceil((gigabytes * 1e9) / ballastRowBytes);
  await psql(
    url,
    copyRows('ballast', rows, (n) => `${n}\t${textOf(n, ballastRowBytes)}`),
  );
}

function ballast(keys: number): Omit<KvJob, 'seconds' | 'warmUpSeconds' | 'seed'> {
  return {
    ...{ clients: 1, keyBytes: 32, valueBytes: ballastValueBytes, keys },
    operation: { kind: 'mix', readShare: 0 },
  };
}

export async function sampleTime(
  system: System,
  workload: TimeWorkload,
  options: TimeOptions,
): Promise<TimeSample> {
  const { result, used } = await watchUsage(system, () => {
    switch (workload.measure) {
      case 'failover':
        return failover(system);
      case 'restart':
        return restart(system, workload.over);
      case 'copy':
        return copy(system, options.copyRows);
    }
  });
  return { kind: 'time', milliseconds: result, residentBytes: used.peakResidentBytes };
}

/**
 * Each member dies once, so that one of the deaths is the leader's, whoever that is, and comes back before the next.
 * @returns the longest time that a writer had to wait
 */
async function failover(system: System): Promise<number> {
  const load = startLoad({ kind: 'gap', endpoints: system.endpoints });
  try {
    await load.said('steady');
    await sleep(calmMs);
    for (const member of system.members) {
      await system.kill(member);
      await sleep(deadMs);
      await system.revive();
      await sleep(backMs);
    }
  } finally {
    load.tellToEnd();
  }
  return ((await load.result) as GapResult).gapMs;
}

/** All processes die at once. @returns from the start of the first until a write was acknowledged */
async function restart(system: System, over: 'kv' | 'sql'): Promise<number> {
  await system.kill();
  const from = performance.now();
  const revived = system.revive();
  revived.catch(() => undefined); // said below
  for (;;) {
    const failure = await (over === 'kv' ? firstPut(system) : firstUpdate(system)).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (failure === undefined) break;
    if (performance.now() - from > restartTimeoutMs)
      throw new Error(`${system.name} does not serve again`, { cause: failure });
    await sleep(20);
  }
  const tookMs = performance.now() - from;
  await revived;
  return tookMs;
}

async function firstPut(system: System): Promise<void> {
  const client = await connectKv(system.endpoints, attemptTimeoutMs);
  try {
    await client.put(keyOf({ keyBytes: 64 }, 0), Buffer.from('restarted'), attemptTimeoutMs);
  } finally {
    await client.close();
  }
}

async function firstUpdate(system: System): Promise<void> {
  await psql(sqlUrl(system), 'UPDATE restarts SET n = n + 1 WHERE id = 1;');
}

async function copy(system: System, rows: number): Promise<number> {
  const url = sqlUrl(system);
  await psql(
    url,
    `DROP TABLE IF EXISTS copied;
CREATE TABLE copied (id int PRIMARY KEY, n int NOT NULL, body text NOT NULL);`,
  );
  const from = performance.now();
  await psql(
    url,
    copyRows('copied', rows, (n) => `${n}\t${n % 10}\t${textOf(n, copiedRowBytes)}`),
  );
  const tookMs = performance.now() - from;
  const found = Number(await psql(url, 'SELECT count(*) FROM copied;'));
  if (found !== rows) throw new Error(`${system.name}: ${found} of ${rows} rows are there`);
  return tookMs;
}

function textOf(n: number, bytes: number): string {
  return `${n} `.padEnd(bytes, 'abcdefghijklmnop');
}
