import { describe, expect, it } from 'vitest';
import { toStoreId } from './ids.ts';
import { MemoryNetwork } from './memory-transport.ts';
import { SeededPrng } from './prng.ts';
import { ManualClock } from './testing/manual-clock.ts';
import type { Address } from './transport.ts';

const storeOne: Address = { kind: 'store', storeId: toStoreId(1), channel: 'kv' };
const client: Address = { kind: 'client', clientId: 'c' };

function setUp(seed = 1) {
  const clock = new ManualClock();
  const network = new MemoryNetwork({ clock, prng: new SeededPrng(seed) });
  const store = network.connect('store');
  const asker = network.connect('asker');
  const heard: number[] = [];
  store.listen(storeOne, (frame) => void heard.push(frame[0] ?? -1));
  return { clock, network, store, asker, heard };
}

describe('MemoryNetwork', () => {
  it('delivers at the end of the turn, a copy, in order', () => {
    const { clock, asker, heard } = setUp();
    const frame = Uint8Array.of(1);
    asker.send(storeOne, frame);
    asker.send(storeOne, Uint8Array.of(2));
    expect(heard).toEqual([]);
    clock.runTurn();
    expect(heard).toEqual([1, 2]);
  });

  it('loses, doubles and delays by chance, the same way for the same seed', () => {
    const history = (seed: number): number[] => {
      const { clock, network, asker, heard } = setUp(seed);
      network.setFaults({
        dropProbability: 0.3,
        duplicateProbability: 0.3,
        delayMsMin: 1,
        delayMsMax: 9,
      });
      for (let i = 0; i < 200; i++) asker.send(storeOne, Uint8Array.of(i));
      clock.advance(20);
      return heard;
    };
    const first = history(1);
    expect(history(1)).toEqual(first);
    expect(history(2)).not.toEqual(first);
    const copies = new Map<number, number>();
    for (const n of first) copies.set(n, (copies.get(n) ?? 0) + 1);
    expect(copies.size).toBeGreaterThan(100);
    expect(copies.size).toBeLessThan(180);
    expect(Math.max(...copies.values())).toBe(2);
    expect(first).not.toEqual([...first].sort((a, b) => a - b));
  });

  it('cuts one direction only, without a word, until it heals', () => {
    const { clock, network, store, asker, heard } = setUp();
    const back: number[] = [];
    const hints: Address[] = [];
    asker.listen(client, (frame) => void back.push(frame[0] ?? -1));
    asker.onUnreachable((to) => void hints.push(to));
    network.cut('asker', 'store');
    asker.send(storeOne, Uint8Array.of(1));
    store.send(client, Uint8Array.of(2));
    clock.runTurn();
    expect([heard, back, hints]).toEqual([[], [2], []]);
    network.heal();
    asker.send(storeOne, Uint8Array.of(3));
    clock.runTurn();
    expect(heard).toEqual([3]);
  });

  it('isolates a process both ways', () => {
    const { clock, network, store, asker, heard } = setUp();
    const back: number[] = [];
    asker.listen(client, (frame) => void back.push(frame[0] ?? -1));
    network.isolate('store');
    asker.send(storeOne, Uint8Array.of(1));
    store.send(client, Uint8Array.of(2));
    clock.runTurn();
    expect([heard, back]).toEqual([[], []]);
  });

  it('gives one link faults of its own, and a filter the last word on single frames', () => {
    const { clock, network, asker, heard } = setUp();
    network.setLinkFaults('asker', 'store', { dropProbability: 1 });
    asker.send(storeOne, Uint8Array.of(1));
    clock.runTurn();
    network.setLinkFaults('asker', 'store', undefined);
    network.setFilter((from, _to, frame) => !(from === 'asker' && frame[0] === 2));
    for (const n of [2, 3]) asker.send(storeOne, Uint8Array.of(n));
    clock.runTurn();
    expect(heard).toEqual([3]);
  });

  it('takes a connection away: nothing leaves, nothing arrives, everybody is told', () => {
    const { clock, network, store, asker, heard } = setUp();
    const states: boolean[] = [];
    const hints: Address[] = [];
    store.onConnection((connected) => void states.push(connected));
    asker.onUnreachable((to) => void hints.push(to));
    network.setConnected('store', false);
    asker.send(storeOne, Uint8Array.of(1));
    store.send(client, Uint8Array.of(2));
    clock.runTurn();
    network.setConnected('store', true);
    asker.send(storeOne, Uint8Array.of(3));
    clock.runTurn();
    expect([heard, states, hints]).toEqual([[3], [false, true], [storeOne]]);
  });

  it('does not deliver a delayed frame to a process that has closed meanwhile', async () => {
    const { clock, network, store, asker, heard } = setUp();
    network.setFaults({ delayMsMin: 5, delayMsMax: 5 });
    asker.send(storeOne, Uint8Array.of(1));
    clock.advance(1);
    await store.close();
    clock.advance(10);
    expect(heard).toEqual([]);
    // The name is free again, and the new process is not mistaken for the old one.
    network.connect('store').listen(storeOne, (frame) => void heard.push(frame[0] ?? -1));
    network.heal();
    asker.send(storeOne, Uint8Array.of(2));
    clock.runTurn();
    expect(heard).toEqual([2]);
  });

  it('lets a handler that throws surface, and still delivers the frames behind it', () => {
    const clock = new ManualClock();
    const network = new MemoryNetwork({ clock });
    const heard: number[] = [];
    const transport = network.connect('one');
    transport.listen(storeOne, (frame) => {
      if (frame[0] === 1) throw new Error('a bug');
      heard.push(frame[0] ?? -1);
    });
    for (const n of [1, 2, 3]) transport.send(storeOne, Uint8Array.of(n));
    expect(() => clock.runTurn()).toThrow('a bug');
    clock.runTurn();
    expect(heard).toEqual([2, 3]);
  });

  it('refuses two listeners of one process at one address, and faults without chance', () => {
    const clock = new ManualClock();
    const network = new MemoryNetwork({ clock });
    const transport = network.connect('one');
    transport.listen(client, () => {});
    expect(() => transport.listen(client, () => {})).toThrow(/one listener/);
    expect(() => network.connect('one')).toThrow(/free/);
    expect(() => network.setFaults({ dropProbability: 0.5 })).toThrow(/prng/);
  });
});
