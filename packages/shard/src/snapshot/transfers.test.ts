/** Two stores' transfers over a network in memory: loss, damage, silence, limits, and what is left behind. */
import { crc32c, SeededPrng, toRangeId, toStoreId } from '@flotilla/base';
import { afterEach, describe, expect, it } from 'vitest';
import { StorageSpace } from '../state/storage-keys.ts';
import { type BulkMessage, decodeBulk, encodeBulk } from './messages.ts';
import { recordKind, recordPrefix } from './stream.ts';
import { descriptor, rangeId, replicaOf, senderState, World } from './transfers.test-kit.ts';

let world = new World();
afterEach(() => {
  world.one.transfers.stop();
  world.two.transfers.stop();
});

/** What the sender holds of the range. */
function expected(): string[] {
  const inside = (line: string): boolean => {
    const first = Number.parseInt(line.split(' ')[1]?.slice(0, 2) ?? '', 16);
    return first >= 0x62 && first < 0x79;
  };
  return world.one.rowsOf(9).filter(inside);
}

function expectInstalled(storageId: number): void {
  const [state] = world.two.installed.slice(-1);
  expect(state).toMatchObject({
    replicaId: 2,
    storageId,
    appliedIndex: 42,
    appliedTerm: 4,
    lastTimestamp: 777,
    descriptor,
  });
  expect(state?.sessions.toRows()).toEqual(senderState().sessions.toRows());
  expect(world.two.rowsOf(storageId)).toEqual(expected());
}

describe('a snapshot', () => {
  it.each([0, 1, 200])('of %i keys arrives whole, history and sessions included', async (rows) => {
    world = new World();
    await world.fill(rows);
    expect(await world.settled(world.send())).toMatchObject({ ok: true, index: 42, reason: '' });
    expectInstalled(21);
    expect(expected().length).toBe(2 * rows);
    world.expectNothingHeld();
  });

  it('carries values that are larger than a chunk', async () => {
    world = new World({ snapshotChunkBytes: 240 * 1024 });
    await world.fill(3, 1_000_000);
    expect((await world.settled(world.send())).ok).toBe(true);
    expectInstalled(21);
  });

  it.each([1, 2, 3, 4])(
    'arrives over a network that loses, doubles and delays, seed %i',
    async (seed) => {
      world = new World();
      const prng = new SeededPrng(seed, 9);
      await world.fill(60);
      world.network.setFaults({
        dropProbability: 0.2,
        duplicateProbability: 0.2,
        delayMsMin: 0,
        delayMsMax: 200,
      });
      for (const side of [world.one, world.two])
        side.filter = (message) => {
          if (message.kind === 'chunk' && prng.nextBelow(20) === 0 && message.bytes.length > 0)
            message.bytes[0] = (message.bytes[0] ?? 0) ^ 1;
          return true;
        };
      // A run of bad luck may end a transfer; then it is sent again, as consensus does.
      let result = await world.settled(world.send(), 200_000);
      for (let again = 0; !result.ok && again < 5; again++)
        result = await world.settled(world.send(), 200_000);
      expect(result).toMatchObject({ ok: true, index: 42 });
      await world.run(30_000);
      expectInstalled(world.two.installed.at(-1)?.storageId ?? 0);
      expect(world.two.installed.length).toBe(1);
      world.expectNothingHeld();
    },
  );

  it('sends only what the receiver has asked for, and goes on at the pace of its engine', async () => {
    world = new World({ snapshotWindowChunks: 2 });
    await world.fill(100);
    let release: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    // The receiver's engine is busy.
    let busy = false;
    world.two.filter = (message) => {
      if (message.kind === 'chunk' && !busy) {
        busy = true;
        void world.two.turns.write(() => []);
        (world.two.turns as unknown as { last: Promise<unknown> }).last = held;
      }
      return true;
    };
    const sent = world.send();
    await world.run(500);
    const before = world.two.received;
    // An offer, and two chunks that wait to be written or are on their way.
    expect(before).toBeLessThanOrEqual(4);
    release();
    expect((await world.settled(sent)).ok).toBe(true);
    expect(world.two.received).toBeGreaterThan(50);
  });

  it('is refused as busy before the sender has read anything', async () => {
    world = new World({ snapshotsReceivingMax: 0, smallSnapshotsMax: 0 });
    await world.fill(10);
    let iterators = 0;
    const iterate = world.one.engine.iterate.bind(world.one.engine);
    world.one.engine.iterate = (...args) => {
      iterators++;
      return iterate(...args);
    };
    const result = await world.settled(world.send());
    expect(result).toMatchObject({ ok: false, reason: 'too many snapshots are being received' });
    expect(iterators).toBe(0);
    world.expectNothingHeld();
  });

  it('is not offered when too many are being sent', async () => {
    world = new World({ snapshotsSendingMax: 1, smallSnapshotsMax: 0 });
    world.network.cut('store-1', 'store-2');
    const first = world.send();
    expect(await world.send()).toMatchObject({ ok: false, reason: 'too many are being sent' });
    expect((await world.settled(first)).ok).toBe(false);
  });

  it('of a small range is sent and received beside the large ones', async () => {
    const none = { snapshotsReceivingMax: 0, snapshotsSendingMax: 0, smallSnapshotsMax: 1 };
    world = new World(none);
    await world.fill(10);
    expect((await world.settled(world.send())).ok).toBe(true);
    world = new World({ ...none, snapshotsSendingMax: 1, smallSnapshotBytes: -1 });
    await world.fill(10);
    expect(await world.settled(world.send())).toMatchObject({
      ...{ ok: false, reason: 'too many snapshots are being received' },
    });
  });

  it('that is older than what the replica has is refused', async () => {
    world = new World();
    world.two.appliedIndex = 42;
    expect(await world.settled(world.send())).toMatchObject({ ok: false, reason: 'old' });
    world.expectNothingHeld();
  });

  it.each([
    ['the receiver', 'two'],
    ['the sender', 'one'],
  ] as const)('is given up on both sides when %s falls silent', async (_name, silent) => {
    world = new World();
    await world.fill(200);
    const closed: boolean[] = [];
    const iterate = world.one.engine.iterate.bind(world.one.engine);
    world.one.engine.iterate = (...args) => {
      const iterator = iterate(...args);
      const at = closed.push(false) - 1;
      const close = async (): Promise<void> => {
        closed[at] = true;
        await iterator.close();
      };
      return { next: (rows) => iterator.next(rows), close };
    };
    let chunks = 0;
    world.two.filter = (message) => {
      if (message.kind !== 'chunk') return true;
      // From the tenth chunk on nothing passes in one direction.
      if (++chunks === 10)
        if (silent === 'two') world.one.filter = () => false;
        else world.two.filter = () => false;
      return true;
    };
    const sent = world.send();
    await world.run(500);
    expect(world.one.transfers.sending).toBe(1);
    const result = await world.settled(sent);
    expect(result.ok).toBe(false);
    await world.run(15_000);
    world.expectNothingHeld();
    expect(closed).toEqual([true, true, true, true]);
    expect(world.two.installed).toEqual([]);
    expect(world.two.reclaimed).toEqual([21]);
    // The network is back: it can be sent again, under another storage id.
    world.one.filter = () => true;
    world.two.filter = () => true;
    expect((await world.settled(world.send())).ok).toBe(true);
    expectInstalled(22);
  });

  it('ends when the sender leads no longer', async () => {
    world = new World();
    await world.fill(50);
    let leads = true;
    world.two.filter = (message) => message.kind !== 'chunk';
    const sent = world.send(() => (leads ? undefined : 'leadership was lost'));
    await world.run(100);
    leads = false;
    expect(await world.settled(sent)).toMatchObject({ ok: false, reason: 'leadership was lost' });
    await world.run(100);
    world.expectNothingHeld();
    expect(world.two.reclaimed).toEqual([21]);
  });

  it('whose end was not heard is answered again with the same end', async () => {
    world = new World();
    await world.fill(5);
    let dropped = 0;
    world.one.filter = (message) => message.kind !== 'end' || ++dropped > 2;
    expect(await world.settled(world.send())).toMatchObject({ ok: true, index: 42 });
    expect(dropped).toBe(3);
    expect(world.two.installed.length).toBe(1);
  });

  it('is none of the business of one that goes the other way under the same number', async () => {
    world = new World();
    await world.fill(200);
    const there = world.send();
    const back = world.two.transfers.send({
      replica: replicaOf({
        ...senderState(),
        descriptor: { ...descriptor, rangeId: toRangeId(8) },
      }),
      toReplicaId: 1,
      toStore: toStoreId(1),
      term: 4,
      inVain: () => undefined,
    });
    // It holds nothing, and ends long before the other.
    expect(await world.settled(back)).toMatchObject({ ok: true, index: 42 });
    expect(await world.settled(there)).toMatchObject({ ok: true, index: 42, reason: '' });
    expectInstalled(21);
    world.expectNothingHeld();
  });

  it('is not read from a replica that was removed: its rows are being deleted', async () => {
    world = new World();
    await world.fill(50);
    world.one.filter = (message) => {
      if (message.kind === 'pull' && !world.replica.isRemoved) {
        world.replica.retire();
        const key = new StorageSpace(9).dataKey(Buffer.from('c\x007'));
        void world.one.turns.write(() => [{ type: 'del', key }]);
      }
      return true;
    };
    const result = await world.settled(world.send());
    expect(result).toMatchObject({ ok: false, reason: 'the replica is removed' });
    await world.run(100);
    expect(world.two.installed).toEqual([]);
    expect(world.two.reclaimed).toEqual([21]);
    world.expectNothingHeld();
  });

  it('gives way to a newer one of the same range', async () => {
    world = new World();
    await world.fill(50);
    world.two.filter = (message) => message.kind !== 'chunk';
    const first = world.send();
    await world.run(100);
    world.two.filter = () => true;
    // As after a restart of the sender, which knows nothing of the first.
    let second = await world.settled(world.send());
    expect(second).toMatchObject({
      ok: false,
      reason: 'a snapshot of this range is being received',
    });
    second = await world.settled(world.send());
    expect(second.ok).toBe(true);
    expect((await world.settled(first)).ok).toBe(false);
    expect(world.two.reclaimed).toEqual([21]);
    expectInstalled(22);
  });

  it('is being installed for as long as it takes: the sender waits', async () => {
    world = new World({ snapshotIdleMs: 1000 });
    await world.fill(5);
    world.two.installs = 'never';
    const sent = world.send();
    await world.run(5000);
    expect(world.one.transfers.sending).toBe(1);
    world.one.transfers.stop();
    expect((await world.settled(sent)).reason).toBe('stopping');
  });

  it('that the log may have taken before it stopped stays where it is staged', async () => {
    world = new World();
    await world.fill(5);
    world.two.installs = 'undecided';
    expect(await world.settled(world.send())).toMatchObject({ ok: false, reason: 'stopped' });
    expect(world.two.reclaimed).toEqual([]);
    expect(world.two.rowsOf(21)).toEqual(expected());
    world.expectNothingHeld();
  });

  it('whose bytes were altered with their checksum is refused by the digest of the whole', async () => {
    world = new World();
    await world.fill(50);
    world.two.filter = (message) => {
      // A hole with a valid checksum: the rows' own would not notice a row that is missing.
      if (message.kind === 'chunk' && message.summary !== undefined)
        (message as { summary: unknown }).summary = { ...message.summary, digest: 1 };
      return true;
    };
    expect(await world.settled(world.send())).toMatchObject({
      ok: false,
      reason: 'the stream is not what was sent',
    });
    expect(world.two.reclaimed).toEqual([21]);
    expect(world.two.installed).toEqual([]);
  });
});

describe('what the other side must not do', () => {
  const snapshotId = 1_000_000;

  it('a sender that sends more than was asked for is not listened to', async () => {
    world = new World({ snapshotWindowChunks: 2 });
    const from = toStoreId(1);
    const asked: number[] = [];
    world.one.filter = (message) => {
      if (message.kind === 'pull') asked.push(message.next);
      return false;
    };
    const offer: BulkMessage = {
      kind: 'offer',
      ...{ snapshotId, rangeId, fromReplicaId: 1, toReplicaId: 2, term: 4 },
      ...{ index: 42, indexTerm: 4, small: true, descriptor },
    };
    // The pieces of a long record: nothing is to be written before the last.
    const pieces = [recordPrefix(recordKind.header, 0, 10_000), ...Array(9).fill(Buffer.alloc(9))];
    const chunks = pieces.map((bytes, sequence): BulkMessage => {
      return {
        kind: 'chunk',
        ...{ snapshotId, sequence, bytes, crc: crc32c(bytes), summary: undefined },
      };
    });
    world.two.transfers.receive(from, [offer, ...chunks]);
    await world.run(100);
    expect(Math.max(...asked)).toBe(2);
    // As it goes on, it takes what comes.
    world.two.transfers.receive(from, chunks);
    await world.run(100);
    expect(Math.max(...asked)).toBe(4);
  });

  it('a receiver that asks for everything at once gets nothing', async () => {
    world = new World();
    await world.fill(200);
    const arrived: string[] = [];
    world.two.filter = ({ kind }) => {
      arrived.push(kind);
      return false;
    };
    const sent = world.send();
    const pull = { kind: 'pull', snapshotId, next: 0, again: false, installing: false } as const;
    world.one.transfers.receive(toStoreId(2), [{ ...pull, upTo: 100_000 }]);
    await world.run(100);
    expect(arrived).toEqual(['offer']);
    // Of another store it is no pull at all.
    world.one.transfers.receive(toStoreId(3), [{ ...pull, upTo: 3 }]);
    await world.run(100);
    expect(arrived).toEqual(['offer']);
    world.one.transfers.receive(toStoreId(2), [{ ...pull, upTo: 3 }]);
    await world.run(100);
    expect(arrived).toEqual(['offer', 'chunk', 'chunk', 'chunk']);
    expect((await world.settled(sent)).ok).toBe(false);
  });
});

describe('the border of the bulk channel', () => {
  it('refuses bytes that are no message', () => {
    const prng = new SeededPrng(3);
    const good = encodeBulk({
      kind: 'pull',
      snapshotId: 5,
      next: 1,
      upTo: 2,
      again: false,
      installing: false,
    });
    expect(decodeBulk(good)).toMatchObject({ kind: 'pull', next: 1, upTo: 2 });
    for (let i = 0; i < 500; i++) {
      const bytes = Buffer.from(good);
      bytes[prng.nextBelow(bytes.length)] = prng.nextBelow(256);
      decodeBulk(bytes.subarray(0, prng.nextBelow(bytes.length + 1)));
    }
    expect(decodeBulk(Buffer.alloc(0))).toBeUndefined();
    const offer = { kind: 'offer', snapshotId: 0 } as unknown as BulkMessage;
    expect(decodeBulk(encodeBulk(offer))).toBeUndefined();
  });
});
