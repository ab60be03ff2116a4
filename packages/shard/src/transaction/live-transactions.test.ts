import { ManualClock } from '@flotilla/base/testing';
import { describe, expect, it } from 'vitest';
import { LiveTransactions } from './live-transactions.ts';

const who = { coordinator: 'c1', startedAt: 7 };
const name = (n: number): string => `transaction ${n}`.padEnd(16, '.');
const id = (n: number): Buffer => Buffer.from(name(n), 'latin1');

function setUp(transactionsMax = 10) {
  const clock = new ManualClock();
  const live = new LiveTransactions({
    clock,
    ttlMs: 5000,
    transactionsMax,
    edgesMax: 2,
    onFatal: (error) => {
      throw error;
    },
  });
  const released: string[] = [];
  const table = { releaseAll: (transaction: string) => released.push(transaction) };
  return { clock, live, table, released };
}

describe('live transactions', () => {
  it('keep their locks while they are renewed, and lose all of them together', () => {
    const { clock, live, table, released } = setUp();
    const other = { releaseAll: (transaction: string) => released.push(`other ${transaction}`) };
    live.enter(name(1), who, table);
    live.enter(name(1), who, other);
    for (let i = 0; i < 4; i++) {
      clock.advance(4000);
      expect(live.renew('c1', [{ id: id(1) }])).toEqual([]);
    }
    expect(released).toEqual([]);
    clock.advance(5000);
    expect(live.isAlive(name(1))).toBe(true);
    clock.advance(1001);
    expect(released).toEqual([name(1), `other ${name(1)}`]);
    expect(clock.nextTimerAt()).toBeUndefined();
  });

  it('are told of what holds nothing here, which counts as a sign of life all the same', () => {
    const { clock, live, table } = setUp();
    live.enter(name(1), who, table);
    live.leave(name(1), table);
    expect(live.renew('c1', [{ id: id(1) }, { id: id(2), startedAt: 9 }])).toEqual([id(1), id(2)]);
    expect(live.isAlive(name(2))).toBe(true);
    expect(live.describe(name(2))).toEqual({
      transactionId: id(2),
      coordinator: 'c1',
      startedAt: 9,
    });
    clock.advance(5001);
    expect(live.isAlive(name(2))).toBe(false);
  });

  it('remember for whom they wait, as much as there is room for', () => {
    const { live } = setUp();
    const edges = [1, 2, 3].map((n) => ({ waiter: id(n), holder: id(n + 1) }));
    live.renew('c1', [{ id: id(1), edges }]);
    expect(live.edgesOf(name(1))).toEqual(edges.slice(0, 2));
    live.renew('c1', [{ id: id(1) }]);
    expect(live.edgesOf(name(1))).toEqual([]);
    expect(live.edgesOf(name(5))).toEqual([]);
  });

  it('are not more than the limit, unless they hold locks, and ids of another form are passed over', () => {
    const { live, table } = setUp(1);
    live.enter(name(1), who, table);
    live.enter(name(2), who, table);
    expect(live.renew('c1', [{ id: id(3) }, { id: Buffer.alloc(3) }, {}])).toEqual([id(3)]);
    expect(live.isAlive(name(3))).toBe(false);
    expect(live.isAlive(name(2))).toBe(true);
  });

  it('end at once when they are said to be over', () => {
    const { live, table, released } = setUp();
    live.enter(name(1), who, table);
    live.end(name(1));
    live.end(name(1));
    expect(released).toEqual([name(1)]);
    expect(live.isAlive(name(1))).toBe(false);
    live.stop();
  });
});
