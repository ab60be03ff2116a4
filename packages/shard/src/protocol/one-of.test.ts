import { expect, it } from 'vitest';
import { kv } from './index.ts';

const key = Buffer.from('k');
const get = kv.Request.encode({ requestId: 5, get: { keys: [key] } }).finish();
const scan = kv.Request.encode({ scan: { startKey: key, endKey: key } }).finish();

it('of several bodies of one request the last counts, whoever sends them', () => {
  const both = kv.Request.decode(Buffer.concat([get, scan]));
  expect(both).toMatchObject({ requestId: 5, body: 'scan', scan: { startKey: key } });
  expect(both.get).toBeNull();
  const other = kv.Request.decode(Buffer.concat([scan, get]));
  expect(other).toMatchObject({ requestId: 5, body: 'get', get: { keys: [key] } });
  expect(other.scan).toBeNull();
});

it('64-bit integers are numbers', () => {
  const { requestId } = kv.Request.decode(kv.Request.encode({ requestId: 2 ** 52 + 1 }).finish());
  expect(requestId).toBe(2 ** 52 + 1);
});
