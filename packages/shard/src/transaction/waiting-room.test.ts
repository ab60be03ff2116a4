import { ManualClock } from '@flotilla/base/testing';
import { describe, expect, it } from 'vitest';
import { type Waiter, WaitingClock, WaitingRoom } from './waiting-room.ts';

function setUp(waitersMax = 10) {
  const clock = new ManualClock();
  const room = new WaitingRoom(
    new WaitingClock(clock, (error) => {
      throw error;
    }),
    waitersMax,
  );
  const events: string[] = [];
  const waiter = (name: string, ms: number, extra: Partial<Waiter> = {}): Waiter => ({
    untilMs: clock.nowMs() + ms,
    retry: () => events.push(`${name} looks`),
    giveUp: () => events.push(`${name} gives up`),
    ...extra,
  });
  return { clock, room, events, waiter };
}

describe('a waiting room', () => {
  it('wakes in order of arrival, by key', () => {
    const { room, events, waiter } = setUp();
    room.park('a', waiter('1', 100));
    room.park('b', waiter('2', 100));
    room.park('a', waiter('3', 100));
    room.wakeKeys([{ key: Buffer.from('a') }, { key: Buffer.from('z') }]);
    expect(events).toEqual(['1 looks', '3 looks']);
    expect(room.size).toBe(1);
    room.wakeAll();
    expect(events.at(-1)).toBe('2 looks');
    expect(room.size).toBe(0);
  });

  it('puts who must wait further behind the others, and wakes it once', () => {
    const { room, events, waiter } = setUp();
    const again = waiter('1', 100);
    room.park('a', { ...again, retry: () => room.park('a', again) });
    room.park('a', waiter('2', 100));
    room.wake('a');
    expect(events).toEqual(['2 looks']);
    room.wake('a');
    expect(events).toEqual(['2 looks', '1 looks']);
  });

  it('ends waits when their time has come, and its timer when nobody waits', () => {
    const { clock, room, events, waiter } = setUp();
    room.park('a', waiter('1', 50));
    room.park('a', waiter('2', 25));
    room.park('b', waiter('3', 200));
    clock.advance(30);
    expect(events).toEqual(['2 gives up']);
    clock.advance(30);
    expect(events).toEqual(['2 gives up', '1 gives up']);
    clock.advance(150);
    expect(room.size).toBe(0);
    expect(clock.nextTimerAt()).toBeUndefined();
  });

  it('refuses more than its limit', () => {
    const { room, waiter } = setUp(2);
    expect(room.park('a', waiter('1', 50))).toBe(true);
    expect(room.park('b', waiter('2', 50))).toBe(true);
    expect(room.park('a', waiter('3', 50))).toBe(false);
    room.wake('a');
    expect(room.park('a', waiter('3', 50))).toBe(true);
  });

  it('tells everybody once, also when giving up wakes others whose time has come', () => {
    const { clock, room, events, waiter } = setUp();
    room.park('a', waiter('1', 20, { giveUp: () => room.wake('b') }));
    room.park('b', waiter('2', 20));
    clock.advance(40);
    expect(events).toEqual(['2 looks']);
    expect(room.size).toBe(0);
  });
});
