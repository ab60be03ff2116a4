import { expect, it } from 'vitest';
import { SessionTable } from './session-table.ts';

const result = (index: number) => ({
  index,
  timestamp: index,
  failedCondition: 0,
  foundTimestamp: 0,
  versionTimestamp: 0,
});

function table(): SessionTable {
  const sessions = new SessionTable();
  for (const id of [10, 20, 30]) sessions.register(id, Buffer.from(`n${id}`), id);
  return sessions;
}

function use(sessions: SessionTable, id: number, serial: number, acked = 0): void {
  const session = sessions.find(id);
  if (session === undefined) throw new Error('no such session');
  sessions.record(session, serial, acked, result(serial % 1000));
}

it('orders sessions by their last use, and keeps the order through rows', () => {
  const sessions = table();
  use(sessions, 10, 1);
  use(sessions, 10, 2);
  use(sessions, 20, 1);
  use(sessions, 10, 3);
  expect([...sessions.ids()]).toEqual([30, 20, 10]);
  sessions.evict(30);
  sessions.register(40, Buffer.from('n40'), 40);
  use(sessions, 20, 2);
  expect([...sessions.ids()]).toEqual([10, 40, 20]);
  expect(sessions.findByNonce(Buffer.from('n30'))).toBeUndefined();
  const again = SessionTable.fromRows(sessions.toRows());
  expect([...again.ids()]).toEqual([10, 40, 20]);
  expect(again.toRows()).toEqual(sessions.toRows());
  expect(again.findByNonce(Buffer.from('n40'))?.sessionId).toBe(40);
});

it('evicts what was last used before a timestamp, and nothing else', () => {
  const sessions = table();
  use(sessions, 10, 31);
  use(sessions, 20, 40);
  expect(sessions.expireBefore(30)).toBe(0);
  expect([...sessions.ids()]).toEqual([30, 10, 20]);
  const again = SessionTable.fromRows(sessions.toRows());
  for (const each of [sessions, again]) {
    expect(each.oldest()?.sessionId).toBe(30);
    expect(each.expireBefore(40)).toBe(2);
    expect(each.findByNonce(Buffer.from('n10'))).toBeUndefined();
    expect([...each.ids()]).toEqual([20]);
    expect(each.expireBefore(Number.MAX_SAFE_INTEGER)).toBe(1);
    expect(each.oldest()).toBeUndefined();
  }
});

it('forgets what was acknowledged, in any order and over any gap', () => {
  const sessions = table();
  for (const serial of [3, 1, 5, 2]) use(sessions, 10, serial);
  use(sessions, 10, 6, 2);
  expect([...(sessions.find(10)?.results.keys() ?? [])].sort()).toEqual([3, 5, 6]);
  use(sessions, 10, 1_000_001, 1_000_000);
  expect([...(sessions.find(10)?.results.keys() ?? [])]).toEqual([1_000_001]);
  expect(sessions.find(10)?.ackedUpTo).toBe(1_000_000);
  expect(() => use(sessions, 10, 7)).toThrow(/serial is new/);
});
