/**
 * A leader is stopped (SIGSTOP) until another one has taken over and acknowledged writes, then continued with requests
 * for reads waiting in its sockets: it must not answer from what it remembers. Raft thesis §6.4, leases.
 */
import { concatBytes, kvPrefix } from '@flotilla/base';
import type { Flotilla } from '@flotilla/client';
import { checkLinearizable, checkRegisterZones, registerModel } from '@flotilla/client/testing';
import type { Router } from '@flotilla/router';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { leaseholderOf, viewCluster } from './harness/cluster-view.ts';
import { openRouter, openSdk } from './harness/connections.ts';
import { DemoCluster } from './harness/demo-cluster.ts';
import { bound, pauses } from './harness/environment.ts';
import { eventually, sleep } from './harness/eventually.ts';
import { figure } from './harness/figures.ts';
import { RegisterWorkload } from './harness/register-workload.ts';
import { type Probe, StoreProbe } from './harness/store-probe.ts';

const pauseMs = 3000;
const keys = ['a0', 'a1', 'a2', 'a3'];
const storedKey = (key: string): Uint8Array => concatBytes(kvPrefix, Buffer.from(key));

let cluster: DemoCluster;
let router: Router;
let closeRouter: () => Promise<void>;
let client: Flotilla;
let probe: StoreProbe;

beforeAll(async () => {
  cluster = await DemoCluster.start();
  ({ router, close: closeRouter } = await openRouter(cluster));
  client = await openSdk(cluster);
  const [store] = await router.discover({ timeoutMs: 500 });
  probe = await StoreProbe.open(cluster, store?.clusterId ?? new Uint8Array(16));
});
afterAll(async () => {
  await Promise.allSettled([probe?.close(), client?.close(), closeRouter?.()]);
  await cluster?.stop();
});

/** A fraction of a second: where the search finds anything, it finds it soon. */
const searchStepsMax = 200_000;

describe('SIGSTOP of a leader', () => {
  it('leaves every key linearizable, requests sent straight to the old leader included', {
    timeout: bound(15_000, pauses),
  }, async () => {
    const workload = new RegisterWorkload({
      client,
      keys,
      writersPerKey: 1,
      readersPerKey: 2,
      pauseMs: 10,
    });
    const probes: { readonly key: string; readonly probe: Promise<Probe> }[] = [];
    try {
      await eventually('writes are acknowledged', { timeoutMs: 15_000 }, () =>
        workload.acknowledgedAt.length > 100 ? true : undefined,
      );
      for (let round = 0; round < pauses; round++) {
        const { value: leader } = await eventually(
          'a leaseholder',
          { timeoutMs: 10_000 },
          async () => leaseholderOf(await viewCluster(router), storedKey('a0')),
        );
        const { name } = cluster.store(leader.storeId);
        const range = await router.lookup(storedKey('a0'));
        const stoppedAt = performance.now();
        cluster.signal(name, 'SIGSTOP');
        const ask = async (forMs: number): Promise<void> => {
          for (const from = performance.now(); performance.now() - from < forMs; await sleep(4))
            for (const key of keys)
              probes.push({ key, probe: probe.get(leader.storeId, range, storedKey(key), 5000) });
        };
        await sleep(pauseMs - 200);
        // These wait in the sockets of the stopped process, and are the first thing that it reads.
        await ask(200);
        const acknowledged = workload.acknowledgedAt.filter((at) => at > stoppedAt).length;
        const firstAt = workload.acknowledgedAt.find((at) => at > stoppedAt + 100);
        cluster.signal(name, 'SIGCONT');
        await ask(1000);
        figure('pause', {
          store: name,
          failoverMs: (firstAt ?? Number.NaN) - stoppedAt,
          acknowledgedByOthers: acknowledged,
        });
        expect(
          acknowledged,
          'writes acknowledged while the old leader stood still',
        ).toBeGreaterThan(5);
      }
      await sleep(300);
    } finally {
      for (const { name } of cluster.ofRole('store')) cluster.signal(name, 'SIGCONT');
      await workload.stop();
    }
    const answers = { value: 0, refused: 0, silent: 0 };
    for (const { key, probe } of probes) {
      const { answer, calledAt, returnedAt } = await probe;
      answers[answer.kind]++;
      if (answer.kind !== 'value') continue;
      const output = { kind: 'value', value: answer.value } as const;
      workload.add(key, {
        process: 'probe',
        input: { kind: 'read' },
        calledAt,
        result: { kind: 'ok', output, returnedAt },
      });
    }
    figure('probes', { asked: probes.length, ...answers });
    expect(answers.value + answers.refused, 'probes that the old leader answered').toBeGreaterThan(
      probes.length / 2,
    );
    for (const [key, history] of workload.histories) {
      // Complete for registers whose values are unique, whatever the concurrency.
      expect(checkRegisterZones(history), `zones of ${key}`).toEqual({ kind: 'ok' });
      // A second opinion: hundreds of reads that wait together may exceed its budget, which then says nothing.
      const search = checkLinearizable(registerModel, history, searchStepsMax);
      expect(search.kind, `search of ${key}: ${JSON.stringify(search)}`).not.toBe('violation');
    }
    figure('histories', {
      operations: [...workload.histories.values()].map(({ length }) => length).join('+'),
      failures: JSON.stringify([...workload.failures]),
    });
  });
});
