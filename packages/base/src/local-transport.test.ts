import { describe, expect, it } from 'vitest';
import { toStoreId } from './ids.ts';
import { LocalTransport } from './local-transport.ts';
import { MemoryNetwork } from './memory-transport.ts';
import { SystemClock } from './system-clock.ts';

const kv = { kind: 'store', storeId: toStoreId(1), channel: 'kv' } as const;
const raft = { kind: 'store', storeId: toStoreId(1), channel: 'raft' } as const;
const client = { kind: 'client', clientId: 'c' } as const;
const everybody = { kind: 'all-stores' } as const;

function process() {
  const network = new MemoryNetwork({ clock: new SystemClock() });
  const crossed: string[] = [];
  network.setFilter((_from, to) => {
    crossed.push(to.kind);
    return true;
  });
  return { network, crossed, local: new LocalTransport(network.connect('one')) };
}

const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('LocalTransport', () => {
  it('keeps what the process sends to itself off the network, in order over its addresses', async () => {
    const { crossed, local } = process();
    const heard: string[] = [];
    for (const at of [kv, raft, client])
      local.listen(at, (frame) => void heard.push(`${at.kind} ${frame[0]}`));
    local.send(client, Uint8Array.of(1));
    local.send(raft, Uint8Array.of(2));
    local.send(kv, Uint8Array.of(3));
    expect(heard).toEqual([]);
    await soon();
    expect(heard).toEqual(['client 1', 'store 2', 'store 3']);
    expect(crossed).toEqual([]);
  });

  it('lets everybody hear what is for all stores, itself once', async () => {
    const { network, crossed, local } = process();
    const heard: string[] = [];
    local.listen(everybody, () => void heard.push('one'));
    network.connect('two').listen(everybody, () => void heard.push('two'));
    local.send(everybody, Uint8Array.of(1));
    await soon();
    expect(heard.sort()).toEqual(['one', 'two']);
    expect(crossed).toEqual(['all-stores']);
  });

  it('reaches itself while the network is away', async () => {
    const { network, local } = process();
    let heard = 0;
    local.listen(kv, () => void heard++);
    network.setConnected('one', false);
    local.send(kv, Uint8Array.of(1));
    await soon();
    expect(heard).toBe(1);
  });

  it('does not deliver to a listener that has closed meanwhile', async () => {
    const { local } = process();
    const heard: string[] = [];
    const first = local.listen(kv, () => void heard.push('first'));
    local.send(kv, Uint8Array.of(1));
    first.close();
    local.listen(kv, () => void heard.push('second'));
    local.send(kv, Uint8Array.of(2));
    await soon();
    expect(heard).toEqual(['second']);
  });

  it('delivers what came behind a frame whose handler throws', async () => {
    const { local } = process();
    const heard: number[] = [];
    local.listen(kv, (frame) => {
      if (frame[0] === 1) throw new Error('a bug');
      heard.push(frame[0] ?? 0);
    });
    const surfaced = new Promise<unknown>((resolve) => {
      globalThis.process.once('uncaughtException', resolve);
    });
    const others = globalThis.process.listeners('uncaughtException').slice(0, -1);
    for (const other of others) globalThis.process.off('uncaughtException', other);
    try {
      local.send(kv, Uint8Array.of(1));
      local.send(kv, Uint8Array.of(2));
      expect(String(await surfaced)).toContain('a bug');
      await soon();
    } finally {
      for (const other of others) globalThis.process.on('uncaughtException', other);
    }
    expect(heard).toEqual([2]);
  });
});
