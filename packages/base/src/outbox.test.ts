import { describe, expect, it } from 'vitest';
import { decodeFrame, type FrameHeader, messageBytesMax, noClusterId } from './frame.ts';
import { FrameReader } from './frame-reader.ts';
import { toStoreId, toTimestamp } from './ids.ts';
import { MemoryNetwork } from './memory-transport.ts';
import { Outbox } from './outbox.ts';
import { ManualClock } from './testing/manual-clock.ts';
import { type Address, addressKey, frameBytesMax, type Transport } from './transport.ts';

const header: FrameHeader = {
  clusterId: noClusterId,
  timestamp: toTimestamp(1),
  sender: { kind: 'client', clientId: 'x'.repeat(64) },
};
const storeOne: Address = { kind: 'store', storeId: toStoreId(1), channel: 'kv' };
const storeOneRaft: Address = { kind: 'store', storeId: toStoreId(1), channel: 'raft' };
const client: Address = { kind: 'client', clientId: 'c' };
const everyone: Address = { kind: 'all-stores' };

function setUp() {
  const clock = new ManualClock();
  const sent: { to: string; frame: Uint8Array }[] = [];
  const nothing = { close: () => {} };
  const transport: Transport = {
    send: (to, frame) => void sent.push({ to: addressKey(to), frame }),
    listen: () => nothing,
    onUnreachable: () => nothing,
    onConnection: () => nothing,
    connected: true,
    close: () => Promise.resolve(),
  };
  const outbox = new Outbox({ transport, clock, header: () => header });
  return { clock, sent, transport, outbox };
}

function counts(frame: Uint8Array): number {
  const decoded = decodeFrame(frame);
  return decoded.ok && decoded.kind === 'whole' ? decoded.messages.length : -1;
}

describe('Outbox', () => {
  it('sends everything for one destination in one turn as one frame, in order', () => {
    const { clock, sent, outbox } = setUp();
    for (let i = 0; i < 3; i++)
      for (const to of [storeOne, storeOneRaft, client, everyone])
        outbox.enqueue(to, Uint8Array.of(i));
    expect(sent).toEqual([]);
    clock.runTurn();
    expect(sent.map((s) => s.to)).toEqual(['store.1.kv', 'store.1.raft', 'client.c', 'all-stores']);
    for (const { frame } of sent) {
      const decoded = decodeFrame(frame);
      if (!decoded.ok || decoded.kind !== 'whole') throw new Error('whole frame expected');
      expect(decoded.messages.map((m) => m[0])).toEqual([0, 1, 2]);
    }
    clock.runTurn();
    expect(sent).toHaveLength(4);
    outbox.enqueue(storeOne, Uint8Array.of(9));
    clock.runTurn();
    expect(sent).toHaveLength(5);
  });

  it('flushes on request and sends nothing twice', () => {
    const { clock, sent, outbox } = setUp();
    outbox.enqueue(client, Uint8Array.of(1));
    outbox.flush();
    expect(sent.map((s) => counts(s.frame))).toEqual([1]);
    clock.runTurn();
    expect(sent).toHaveLength(1);
  });

  it('cuts frames at the limit of the transport', () => {
    const { clock, sent, outbox } = setUp();
    for (let i = 0; i < 1000; i++) outbox.enqueue(storeOne, new Uint8Array(1000).fill(i));
    clock.runTurn();
    expect(sent.length).toBe(4);
    for (const { frame } of sent) expect(frame.length).toBeLessThanOrEqual(frameBytesMax);
    expect(sent.reduce((sum, s) => sum + counts(s.frame), 0)).toBe(1000);
  });

  it('cuts a large message into pieces that fit, in order with the messages around it', () => {
    const { clock, sent, outbox } = setUp();
    const sizes = [frameBytesMax - 200, frameBytesMax - 110, frameBytesMax, 3 * frameBytesMax + 7];
    for (const size of [...sizes, messageBytesMax]) {
      sent.length = 0;
      const large = Uint8Array.from({ length: size }, (_, i) => (i >> 8) ^ i);
      outbox.enqueue(storeOne, Uint8Array.of(1));
      outbox.enqueue(storeOne, large);
      outbox.enqueue(storeOne, Uint8Array.of(2));
      clock.runTurn();
      const reader = new FrameReader({ clock });
      const seen: Uint8Array[] = [];
      for (const { frame } of sent) {
        expect(frame.length).toBeLessThanOrEqual(frameBytesMax);
        const result = reader.read(frame);
        if (!result.ok) throw new Error(result.reason);
        seen.push(...result.messages);
      }
      expect(seen.map((m) => m.length)).toEqual([1, size, 1]);
      expect(Buffer.compare(seen[1] ?? new Uint8Array(), large)).toBe(0);
    }
  });

  it('never gives two messages of one sender the same number, even from two outboxes', () => {
    const { clock, sent, transport, outbox } = setUp();
    const second = new Outbox({ transport, clock, header: () => header });
    for (let i = 0; i < 3; i++) {
      outbox.enqueue(storeOne, new Uint8Array(frameBytesMax));
      second.enqueue(storeOneRaft, new Uint8Array(frameBytesMax));
    }
    clock.runTurn();
    const numbers = new Set<number>();
    for (const { frame } of sent) {
      const decoded = decodeFrame(frame);
      if (decoded.ok && decoded.kind === 'fragment') numbers.add(decoded.fragment.messageNumber);
    }
    expect(numbers.size).toBe(6);
  });

  it('refuses a message above the limit: its maker must have checked', () => {
    const { outbox } = setUp();
    expect(() => outbox.enqueue(client, new Uint8Array(messageBytesMax + 1))).toThrow(/limit/);
  });

  it('carries messages over a memory network', () => {
    const clock = new ManualClock();
    const network = new MemoryNetwork({ clock });
    const reader = new FrameReader({ clock });
    const seen: number[] = [];
    network.connect('store').listen(storeOne, (frame) => {
      const result = reader.read(frame);
      if (result.ok) for (const message of result.messages) seen.push(message[0] ?? -1);
    });
    const outbox = new Outbox({
      transport: network.connect('client'),
      clock,
      header: () => header,
    });
    for (let i = 0; i < 5; i++) outbox.enqueue(storeOne, Uint8Array.of(i));
    clock.runTurn();
    expect(seen).toEqual([0, 1, 2, 3, 4]);
  });
});
