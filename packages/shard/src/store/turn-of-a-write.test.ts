import { addressKey, present } from '@flotilla/base';
import { expect, it } from 'vitest';
import { StoreCluster } from '../testing/store-cluster.ts';

const key = Buffer.of(0x08, 1);

it('a write is on its way to the followers when the turn in which it came ends', async () => {
  const cluster = new StoreCluster({ seed: 1 });
  await cluster.start();
  const { clock, network } = cluster;
  const client = cluster.client();
  // Its session and the leaseholder are known from now on.
  await cluster.until(client.put(key, 'x'));
  await cluster.run(50);

  let turn = 0;
  const afterTurn = clock.afterTurn.bind(clock);
  clock.afterTurn = (callback) => {
    const next = turn + 1;
    afterTurn(() => {
      turn = next;
      callback();
    });
  };
  const sent: { readonly turn: number; readonly from: string; readonly to: string }[] = [];
  network.setFilter((from, to) => {
    sent.push({ turn, from, to: addressKey(to) });
    return true;
  });
  await cluster.until(client.put(key, 'y'));
  await cluster.stopAll();

  const asked = present(sent[0], 'the request');
  const leader = `store-${asked.to.split('.')[1]}`;
  const appends = sent
    .filter(({ from, to }) => from === leader && to.endsWith('.raft'))
    .slice(0, 2);
  expect(new Set(appends.map(({ to }) => to)).size).toBe(2);
  // Delivered in the turn after it was sent, at whose end they leave.
  expect(appends.map((frame) => frame.turn - asked.turn)).toEqual([2, 2]);
});
