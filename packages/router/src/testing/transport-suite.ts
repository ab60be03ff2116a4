/**
 * What every `Transport` must do, as named cases that throw where it does not. Free of any test framework: a test file
 * wraps each case. Each case gets a fresh network of its own.
 */
import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Address,
  frameBytesMax,
  type Listener,
  type Transport,
  toStoreId,
} from '@flotilla/base';

export interface TransportNetwork {
  /** A transport of one more process, connected. */
  connect(name: string): Promise<Transport>;
  /** Until listeners registered so far hear what anybody sends. */
  settle(): Promise<void>;
}

export interface TransportCase {
  readonly name: string;
  run(network: TransportNetwork): Promise<void>;
}

const storeOne: Address = { kind: 'store', storeId: toStoreId(1), channel: 'kv' };
const storeOneRaft: Address = { kind: 'store', storeId: toStoreId(1), channel: 'raft' };
const storeTwo: Address = { kind: 'store', storeId: toStoreId(2), channel: 'kv' };
const clientA: Address = { kind: 'client', clientId: 'a' };
const everyStore: Address = { kind: 'all-stores' };

/** Waits for a condition instead of for time. */
export async function eventually(
  what: string,
  holds: () => boolean,
  withinMs = 5000,
): Promise<void> {
  for (let waited = 0; !holds(); waited += 2) {
    if (waited > withinMs) throw new Error(`did not happen within ${withinMs} ms: ${what}`);
    await sleep(2);
  }
}

function collect(transport: Transport, at: Address): { frames: Uint8Array[]; listener: Listener } {
  const frames: Uint8Array[] = [];
  const listener = transport.listen(at, (frame) => void frames.push(frame));
  return { frames, listener };
}

function numbered(n: number, length = 4): Uint8Array {
  const frame = Buffer.alloc(length, n & 255);
  frame.writeUInt32LE(n);
  return frame;
}

function numbersOf(frames: readonly Uint8Array[]): number[] {
  return frames.map((frame) => Buffer.from(frame).readUInt32LE(0));
}

export const transportCases: readonly TransportCase[] = [
  {
    name: 'carries a frame to the address it is sent to, and to no other',
    run: async (network) => {
      const [one, two, sender] = [
        await network.connect('one'),
        await network.connect('two'),
        await network.connect('sender'),
      ];
      const kv = collect(one, storeOne);
      const raft = collect(one, storeOneRaft);
      const other = collect(two, storeTwo);
      const client = collect(sender, clientA);
      await network.settle();
      sender.send(storeOne, numbered(1));
      sender.send(storeOneRaft, numbered(2));
      sender.send(storeTwo, numbered(3));
      one.send(clientA, numbered(4));
      await eventually('four frames', () =>
        [kv, raft, other, client].every(({ frames }) => frames.length > 0),
      );
      await network.settle();
      deepStrictEqual(
        [kv, raft, other, client].map((c) => numbersOf(c.frames)),
        [[1], [2], [3], [4]],
      );
    },
  },
  {
    name: 'does not deliver before the sender has returned',
    run: async (network) => {
      const transport = await network.connect('one');
      const { frames } = collect(transport, storeOne);
      await network.settle();
      transport.send(storeOne, numbered(1));
      strictEqual(frames.length, 0);
      await eventually('the frame to oneself', () => frames.length === 1);
    },
  },
  {
    name: 'keeps the order of frames of one sender, whatever their sizes and addresses',
    run: async (network) => {
      const receiver = await network.connect('receiver');
      const sender = await network.connect('sender');
      const seen: number[] = [];
      const record = (frame: Uint8Array): void => void seen.push(...numbersOf([frame]));
      receiver.listen(storeOne, record);
      receiver.listen(storeOneRaft, record);
      await network.settle();
      const count = 500;
      for (let i = 0; i < count; i++)
        sender.send(i % 3 === 0 ? storeOneRaft : storeOne, numbered(i, i % 50 === 0 ? 60_000 : 8));
      await eventually('all frames', () => seen.length >= count);
      deepStrictEqual(
        seen,
        Array.from({ length: count }, (_, i) => i),
      );
    },
  },
  {
    name: 'carries the largest frame, byte for byte',
    run: async (network) => {
      const receiver = await network.connect('receiver');
      const sender = await network.connect('sender');
      const { frames } = collect(receiver, storeOne);
      await network.settle();
      const large = Uint8Array.from({ length: frameBytesMax }, (_, i) => (i * 7) ^ (i >> 8));
      for (let i = 0; i < 8; i++) sender.send(storeOne, large);
      await eventually('eight frames', () => frames.length === 8);
      for (const frame of frames) strictEqual(Buffer.compare(frame, large), 0);
    },
  },
  {
    name: 'does not share memory between sender and receiver',
    run: async (network) => {
      const receiver = await network.connect('receiver');
      const sender = await network.connect('sender');
      const { frames } = collect(receiver, storeOne);
      await network.settle();
      const frame = numbered(7);
      sender.send(storeOne, frame);
      await eventually('the frame', () => frames.length === 1);
      frame.fill(0xee);
      deepStrictEqual(numbersOf(frames), [7]);
    },
  },
  {
    name: 'reaches every process that listens for all stores',
    run: async (network) => {
      const transports = [await network.connect('one'), await network.connect('two')];
      const heard = transports.map((transport) => collect(transport, everyStore).frames);
      await network.settle();
      const asker = await network.connect('asker');
      asker.send(everyStore, numbered(5));
      await eventually('both hear', () => heard.every((frames) => frames.length === 1));
    },
  },
  {
    name: 'carries bulk frames',
    run: async (network) => {
      const receiver = await network.connect('receiver');
      const sender = await network.connect('sender');
      const bulk: Address = { kind: 'store', storeId: toStoreId(1), channel: 'bulk' };
      const { frames } = collect(receiver, bulk);
      const deadline = Date.now() + 5000;
      // A bulk connection may open on first use, and what is sent before it is there is lost.
      while (frames.length === 0 && Date.now() < deadline) {
        sender.send(bulk, numbered(6));
        await sleep(20);
      }
      ok(frames.length > 0, 'a bulk frame arrives');
    },
  },
  {
    name: 'stops delivering when the listener is closed, and lets another take its place',
    run: async (network) => {
      const receiver = await network.connect('receiver');
      const sender = await network.connect('sender');
      const first = collect(receiver, storeOne);
      await network.settle();
      first.listener.close();
      await network.settle();
      const second = collect(receiver, storeOne);
      await network.settle();
      sender.send(storeOne, numbered(1));
      await eventually('the second hears', () => second.frames.length === 1);
      strictEqual(first.frames.length, 0);
    },
  },
  {
    name: 'tells the sender, and only the sender, which address nobody listens at',
    run: async (network) => {
      const sender = await network.connect('sender');
      const other = await network.connect('other');
      const told: Address[] = [];
      const toldOther: Address[] = [];
      sender.onUnreachable((to) => void told.push(to));
      other.onUnreachable((to) => void toldOther.push(to));
      collect(other, storeTwo);
      await network.settle();
      const nowhere: Address[] = [
        storeOneRaft,
        { kind: 'client', clientId: 'gone_-1' },
        everyStore,
      ];
      for (const to of nowhere) sender.send(to, numbered(1));
      sender.send(storeTwo, numbered(2));
      await eventually('three hints', () => told.length >= 3);
      await network.settle();
      deepStrictEqual(told, nowhere);
      deepStrictEqual(toldOther, []);
    },
  },
  {
    name: 'tells that a process is unreachable as soon as it has closed',
    run: async (network) => {
      const store = await network.connect('store');
      const sender = await network.connect('sender');
      const told: Address[] = [];
      const handle = sender.onUnreachable((to) => void told.push(to));
      collect(store, storeOne);
      await network.settle();
      sender.send(storeOne, numbered(1));
      await network.settle();
      deepStrictEqual(told, []);
      await store.close();
      sender.send(storeOne, numbered(2));
      await eventually('a hint', () => told.length === 1);
      handle.close();
      sender.send(storeOne, numbered(3));
      await network.settle();
      strictEqual(told.length, 1);
    },
  },
  {
    name: 'sends what is queued before it closes, and nothing afterwards',
    run: async (network) => {
      const receiver = await network.connect('receiver');
      const sender = await network.connect('sender');
      const { frames } = collect(receiver, storeOne);
      await network.settle();
      const states: boolean[] = [];
      sender.onConnection((connected) => void states.push(connected));
      for (let i = 0; i < 100; i++) sender.send(storeOne, numbered(i, 10_000));
      await sender.close();
      sender.send(storeOne, numbered(999));
      await eventually('all that was queued', () => frames.length === 100);
      await network.settle();
      strictEqual(frames.length, 100);
      strictEqual(sender.connected, false);
      deepStrictEqual(states, [false]);
      await sender.close();
    },
  },
  {
    name: 'lets a handler send in return, without end or recursion',
    run: async (network) => {
      const one = await network.connect('one');
      const two = await network.connect('two');
      let rounds = 0;
      one.listen(storeOne, (frame) => {
        rounds++;
        if (rounds < 200) one.send(storeTwo, frame);
      });
      two.listen(storeTwo, (frame) => two.send(storeOne, frame));
      await network.settle();
      two.send(storeOne, numbered(1));
      await eventually('two hundred rounds', () => rounds === 200);
    },
  },
];
