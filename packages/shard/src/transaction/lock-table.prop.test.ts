import { ManualClock } from '@flotilla/base/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Contention } from './contention.ts';
import { LiveTransactions } from './live-transactions.ts';
import { type LockOwner, LockTable, type LockWish } from './lock-table.ts';
import { WaitingClock } from './waiting-room.ts';

/** Requests as a leaseholder makes them: take, or wait and take when told to look again. */

const lockWaitMs = 200;

function setUp(locksMax = 100) {
  const clock = new ManualClock();
  const onFatal = (error: unknown): void => {
    throw error;
  };
  const live = new LiveTransactions({
    clock,
    ttlMs: 5000,
    transactionsMax: 100,
    edgesMax: 4,
    onFatal,
  });
  const locks = new LockTable(
    live,
    { locksMax, lockPlaceMs: 1000 },
    new WaitingClock(clock, onFatal),
    new Contention(),
  );
  const events: string[] = [];
  let looks = 0;
  const ask = (who: string, name: string, wish: LockWish): void => {
    const owner = who.startsWith('w') ? plain(who) : transaction(who);
    const look = (first: boolean): void => {
      expect(++looks, 'comes to rest').toBeLessThan(10_000);
      if (locks.take(name, owner, wish)) {
        if (!first) events.push(`${who} has ${wish} ${name}`);
        return;
      }
      locks.wait(name, owner, wish, {
        untilMs: clock.nowMs() + lockWaitMs,
        retry: () => look(false),
        giveUp: () => events.push(`${who} asks again for ${wish} ${name}`),
      });
    };
    look(true);
  };
  const takeEvents = (): string[] => events.splice(0);
  return { clock, live, locks, ask, takeEvents };
}

/** Ids have 16 characters. */
function id(who: string): string {
  return who.padEnd(16, '.');
}

function transaction(who: string): LockOwner {
  return { name: id(who), transaction: { coordinator: 'c', startedAt: 1 } };
}

function plain(who: string): LockOwner {
  return { name: who, transaction: undefined };
}

describe('who waits', () => {
  it('hears of the holder and of whoever stands for all before it, however long the queue', () => {
    const { ask, locks } = setUp();
    const blockersOf = (who: string, wish: LockWish): string[] =>
      locks
        .blockers('k', transaction(who), wish)
        .holders.map((holder) => String(holder.transactionId ?? '?').replaceAll('.', ''));
    for (const who of ['t1', 't2', 't3', 't4']) ask(who, 'k', 'exclusive');
    expect(blockersOf('t4', 'exclusive')).toEqual(['t1', 't3']);
    for (const who of ['s5', 's6']) ask(who, 'k', 'share');
    expect(blockersOf('s6', 'share')).toEqual(['t1', 't4']);
    // Readers do not wait for each other, and a write outside of transactions tells nobody what it waits for.
    ask('w7', 'k', 'write');
    ask('t8', 'k', 'exclusive');
    expect(blockersOf('t8', 'exclusive')).toEqual(['t1', '?', 's6', 's5', 't4']);
    expect(blockersOf('t9', 'exclusive')).toEqual(['t1', 't8']);
  });
});

describe('locks', () => {
  it('go to whoever has waited longest, readers together', () => {
    const { ask, locks, takeEvents } = setUp();
    ask('t1', 'k', 'exclusive');
    ask('t2', 'k', 'share');
    ask('t3', 'k', 'share');
    ask('t4', 'k', 'exclusive');
    ask('t5', 'k', 'share');
    expect(takeEvents()).toEqual([]);
    locks.releaseAll(id('t1'));
    expect(takeEvents()).toEqual(['t2 has share k', 't3 has share k']);
    locks.releaseAll(id('t3'));
    expect(takeEvents()).toEqual([]);
    locks.releaseAll(id('t2'));
    expect(takeEvents()).toEqual(['t4 has exclusive k']);
    locks.releaseAll(id('t4'));
    expect(takeEvents()).toEqual(['t5 has share k']);
  });

  it('are upgraded ahead of the queue, and writes of their holder pass', () => {
    const { ask, locks, takeEvents } = setUp();
    ask('t1', 'k', 'share');
    ask('t2', 'k', 'share');
    ask('t3', 'k', 'exclusive');
    ask('t1', 'k', 'exclusive');
    locks.releaseAll(id('t2'));
    expect(takeEvents()).toEqual(['t1 has exclusive k']);
    expect(locks.take('k', transaction('t1'), 'write')).toBe(true);
    expect(locks.take('k', plain('w1'), 'write')).toBe(false);
  });

  it('given to somebody who asked twice, for more and then for less, are given once', () => {
    const { ask, locks, takeEvents } = setUp();
    ask('t1', 'k', 'exclusive');
    ask('t2', 'k', 'exclusive');
    ask('t2', 'k', 'share');
    locks.releaseAll(id('t1'));
    expect(takeEvents()).toEqual(['t2 has exclusive k', 't2 has share k']);
    locks.releaseAll(id('t2'));
    expect(locks.size).toBe(0);
  });

  it('keep the place of a client that was told to ask again, and not for ever', () => {
    const { clock, ask, locks, takeEvents } = setUp();
    ask('t1', 'k', 'exclusive');
    ask('t2', 'k', 'exclusive');
    clock.advance(lockWaitMs + 10);
    expect(takeEvents()).toEqual(['t2 asks again for exclusive k']);
    ask('t3', 'k', 'exclusive');
    locks.releaseAll(id('t1'));
    // The place of t2 is kept: it holds the lock as soon as it is free.
    expect(locks.holds('k', id('t2'))).toBe(true);
    ask('w1', 'k', 'write');
    locks.releaseAll(id('t2'));
    expect(takeEvents()).toEqual(['t3 has exclusive k']);
    clock.advance(lockWaitMs + 10);
    expect(takeEvents()).toEqual(['w1 asks again for write k']);
    ask('t4', 'k', 'exclusive');
    clock.advance(1010);
    locks.releaseAll(id('t3'));
    // Nobody came back for the write.
    expect(locks.holds('k', id('t4'))).toBe(true);
  });

  it('of a transaction that nobody renews are let go', () => {
    const { clock, live, ask, locks, takeEvents } = setUp();
    ask('t1', 'k', 'exclusive');
    ask('t1', 'l', 'share');
    ask('t2', 'k', 'exclusive');
    for (let renewed = 0; renewed < 5; renewed++) {
      clock.advance(2000);
      expect(live.renew('c', [{ id: Buffer.from(id('t1'), 'latin1') }])).toEqual([]);
    }
    expect(locks.heldBy(id('t1'))).toBe(2);
    takeEvents();
    ask('t3', 'l', 'exclusive');
    clock.advance(6100);
    expect(locks.heldBy(id('t1'))).toBe(0);
    expect(live.isAlive(id('t1'))).toBe(false);
  });

  it('are not more than the limit', () => {
    const { locks } = setUp(2);
    expect(locks.take('a', transaction('t1'), 'share')).toBe(true);
    expect(locks.take('b', transaction('t1'), 'share')).toBe(true);
    expect(locks.take('c', transaction('t1'), 'share')).toBe(false);
    expect(locks.has('c')).toBe(false);
    expect(locks.take('c', transaction('t1'), 'write')).toBe(true);
    locks.release('a', id('t1'));
    expect(locks.take('c', transaction('t1'), 'share')).toBe(true);
  });

  it('from a key on are dropped when the range is cut there, and who waits looks again', () => {
    const { ask, locks, takeEvents } = setUp();
    ask('t1', 'a', 'exclusive');
    ask('t1', 'm', 'exclusive');
    ask('t2', 'm', 'exclusive');
    locks.dropFrom(Buffer.from('m'));
    expect(takeEvents()).toEqual(['t2 has exclusive m']);
    expect(locks.heldBy(id('t1'))).toBe(1);
  });

  it('exclude each other, starve nobody, and end', () => {
    const who = fc.constantFrom('t1', 't2', 't3', 't4');
    const name = fc.constantFrom('k', 'l');
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('ask' as const),
        who,
        name,
        wish: fc.constantFrom<LockWish>('share', 'exclusive', 'write'),
      }),
      fc.record({ kind: fc.constant('plain' as const), who: fc.constantFrom('w1', 'w2'), name }),
      fc.record({ kind: fc.constant('end' as const), who }),
      fc.record({ kind: fc.constant('release' as const), who, name }),
      fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(20, 300, 1500) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { clock, locks, ask, live } = setUp();
        const owners = ['t1', 't2', 't3', 't4'].map(transaction);
        for (const each of steps) {
          if (each.kind === 'ask') ask(each.who, each.name, each.wish);
          else if (each.kind === 'plain') ask(each.who, each.name, 'write');
          else if (each.kind === 'end') live.end(id(each.who));
          else if (each.kind === 'release') locks.release(each.name, id(each.who));
          else clock.advance(each.ms);
          for (const key of ['k', 'l']) {
            const holders = owners.filter((owner) => locks.holds(key, owner.name));
            // A holder beside others can only share: none of them may write.
            if (holders.length > 1)
              for (const owner of holders) expect(locks.take(key, owner, 'write')).toBe(false);
          }
        }
        for (const owner of owners) {
          locks.releaseAll(owner.name);
          live.end(owner.name);
        }
        // Waits of those that have ended were given up; plain writes went through.
        for (const owner of owners) expect(locks.heldBy(owner.name)).toBe(0);
        clock.advance(2000);
        expect(locks.size).toBe(0);
      }),
      { numRuns: 300 },
    );
  });
});
