/**
 * Tags appended by conditional puts through the SDK while stores and nats-server die. The router retries what went unanswered; every
 * tag must be there once if acknowledged, at most once if unknown, and not at all if the put said it did not apply.
 */
import { SeededPrng } from '@flotilla/base';
import { DbError, type Flotilla } from '@flotilla/client';
import { checkSet } from '@flotilla/client/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSdk } from './harness/connections.ts';
import { DemoCluster } from './harness/demo-cluster.ts';
import { bound, killRounds } from './harness/environment.ts';
import { eventually, sleep } from './harness/eventually.ts';
import { figure } from './harness/figures.ts';

const appenders = 12;
/** First bytes far apart, so that the keys lie in different ranges; enough keys that most puts find no rival. */
const keys = ['\u0001', 'A', '\u00e9'].flatMap((first) =>
  Array.from({ length: 8 }, (_, index) => `${first}${index}`),
);

let cluster: DemoCluster;
let client: Flotilla;

beforeAll(async () => {
  cluster = await DemoCluster.start();
  client = await openSdk(cluster);
});
afterAll(async () => {
  await client?.close();
  await cluster?.stop();
});

class Appenders {
  readonly acknowledged: string[] = [];
  readonly unknown: string[] = [];
  readonly notApplied = new Set<string>();
  readonly failures = new Map<string, number>();
  private readonly processes: Promise<void>[];
  private stopping = false;

  constructor() {
    this.processes = Array.from({ length: appenders }, (_, index) => this.append(index));
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.processes);
  }

  private async append(index: number): Promise<void> {
    const prng = new SeededPrng(index);
    for (let n = 0; !this.stopping; n++) {
      // By chance: in a fixed order all would queue at the first key of a dead range and go on as a convoy.
      const key = keys[prng.nextBelow(keys.length)] ?? '';
      const tag = `${index}.${n}`;
      await this.appendOnce(key, tag).catch((error: unknown) => {
        if (!(error instanceof DbError)) throw error;
        this.failures.set(error.code, (this.failures.get(error.code) ?? 0) + 1);
        if (error.outcome === 'unknown') this.unknown.push(tag);
        else this.notApplied.add(tag);
      });
      await sleep(3);
    }
  }

  private async appendOnce(key: string, tag: string): Promise<void> {
    const entry = await client.kv.get(key);
    const put = await client.kv.put(key, `${entry?.text() ?? ''}${tag} `, {
      ifVersion: entry?.version ?? 0,
    });
    if (put.applied) this.acknowledged.push(tag);
    else this.notApplied.add(tag);
  }
}

describe('conditional puts under kill -9', () => {
  it('take effect exactly once', { timeout: bound(15_000, 3 * killRounds) }, async () => {
    const work = new Appenders();
    try {
      for (let round = 0; round < killRounds; round++)
        for (const { name } of cluster.ofRole('store')) {
          const before = work.acknowledged.length;
          await eventually('puts are acknowledged', { timeoutMs: 15_000 }, () =>
            work.acknowledged.length > before + 30 ? true : undefined,
          );
          await cluster.kill(name);
          await sleep(2000);
          await cluster.restart(name);
          await sleep(1000);
        }
    } finally {
      await work.stop();
    }
    figure('appends', {
      acknowledged: work.acknowledged.length,
      notApplied: work.notApplied.size,
      unknown: work.unknown.length,
      failures: JSON.stringify([...work.failures]),
    });
    const lists = await client.kv.getMany(keys);
    const found = lists.flatMap((entry) => entry?.text().split(' ').filter(Boolean) ?? []);
    expect(checkSet({ acknowledged: work.acknowledged, unknown: work.unknown, found })).toEqual({
      kind: 'ok',
    });
    expect(found.filter((tag) => work.notApplied.has(tag))).toEqual([]);
    expect(work.acknowledged.length).toBeGreaterThan(100);
  });
});
