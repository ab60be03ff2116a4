/** What a gateway counts, by conversations with it. */
import pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RawClient } from './testing/raw-client.ts';
import { ScriptedSession, Stage } from './testing/scripted-session.ts';
import {
  startSqlGateway,
  startTestGateway,
  stopTestGateway,
  type TestGateway,
} from './testing/test-gateway.ts';

let world: TestGateway;
beforeEach(async () => {
  world = await startSqlGateway();
});
afterEach(() => stopTestGateway(world));

test('statements by kind, errors by class, connections, and how long statements took', async () => {
  const { gateway } = world;
  const client = new pg.Client({ host: '127.0.0.1', port: gateway.port, user: 'alice' });
  await client.connect();
  await client.query('create table t (id int primary key); insert into t values (1), (2)');
  for (let i = 0; i < 3; i++) await client.query('select * from t where id = $1', [i]);
  await expect(client.query('insert into t values (1)')).rejects.toMatchObject({ code: '23505' });
  await expect(client.query('select nothing')).rejects.toMatchObject({ code: '42703' });
  await client.end();
  const { statements, errors, connections, statementTimes, retries } = gateway.counters;
  expect(Object.fromEntries(statements)).toMatchObject({ CREATE: 1, INSERT: 1, SELECT: 3 });
  expect(Object.fromEntries(errors)).toEqual({ 23: 1, 42: 1 });
  expect(connections).toBe(1);
  // Two, three, and the one that failed when it ran; what cannot be bound does not begin.
  expect(statementTimes.count).toBe(6);
  expect(retries).toBe(0);
});

test('statements that run again', async () => {
  const heard: (() => void)[] = [];
  const scripted = await startTestGateway({
    createSession: ({ user, events }) => {
      heard.push(() => events?.onRetry?.());
      return new ScriptedSession(new Stage(), user, events);
    },
  });
  const { client } = await RawClient.ready(scripted.gateway.port);
  for (const retry of [...heard, ...heard]) retry();
  expect(scripted.gateway.counters.retries).toBe(2);
  client.destroy();
  await stopTestGateway(scripted);
});
