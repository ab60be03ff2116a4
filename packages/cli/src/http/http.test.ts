/** Health and metrics over HTTP, by a real server on a free port. */
import { silentLogger } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type HttpServer, startHttp } from './http-server.ts';
import { metricsOf } from './metrics.ts';
import { ProcessHealth } from './process-health.ts';

let clock: ManualClock;
let health: ProcessHealth;
let server: HttpServer;
let committedAtMs: number | undefined;
let everyMs: number;

beforeEach(async () => {
  clock = new ManualClock();
  committedAtMs = undefined;
  everyMs = 5000;
  health = new ProcessHealth(clock);
  health.writes = () => ({ committedAtMs, everyMs, reason: 'the first range does not answer' });
  const metrics = metricsOf({
    nowMs: () => clock.nowMs(),
    gateway: { connectionCount: 3 },
  });
  const address = { host: '127.0.0.1', port: 0 };
  server = await startHttp(address, { metrics, health, logger: silentLogger });
});
afterEach(() => server.stop());

async function ask(path: string, method = 'GET'): Promise<{ status: number; text: string }> {
  const { host, port } = server.address;
  const response = await fetch(`http://${host}:${port}${path}`, { method });
  return { status: response.status, text: await response.text() };
}

it('is healthy while a write was committed lately', async () => {
  expect(await ask('/health')).toEqual({
    status: 503,
    text: 'no write yet: the first range does not answer\n',
  });
  committedAtMs = clock.nowMs();
  expect(await ask('/health')).toEqual({ status: 200, text: 'ok\n' });
  clock.advance(30_000);
  expect(await ask('/health')).toEqual({
    status: 503,
    text: 'the last write was committed 30 s ago: the first range does not answer\n',
  });
});

it('is healthy between two rows however seldom they are written', async () => {
  everyMs = 60_000;
  committedAtMs = clock.nowMs();
  clock.advance(66_000);
  expect((await ask('/health')).status).toBe(200);
  clock.advance(120_000);
  expect((await ask('/health')).status).toBe(503);
});

it('is not healthy where the gateway cannot read', async () => {
  committedAtMs = clock.nowMs();
  health.probe = () => Promise.reject(new Error('nobody answers'));
  expect(await ask('/health')).toEqual({
    status: 503,
    text: 'the cluster cannot be read: nobody answers\n',
  });
  health.probe = () => Promise.resolve();
  expect((await ask('/health')).status).toBe(200);
});

it('is ready from when it serves until it stops', async () => {
  expect((await ask('/ready')).status).toBe(503);
  health.markServing();
  expect(await ask('/ready')).toEqual({ status: 200, text: 'ready\n' });
  health.markStopping();
  expect((await ask('/ready')).status).toBe(503);
});

it('serves metrics under their names, and nothing else', async () => {
  const { status, text } = await ask('/metrics?x=1');
  expect(status).toBe(200);
  expect(text).toContain('flotilla_gateway_connections_count 3\n');
  expect(text).toContain('flotilla_nodejs_eventloop_lag_seconds');
  for (const [, name] of text.matchAll(/^# TYPE (\S+)/gm))
    expect(name).toMatch(/^flotilla_[a-z]+_/);
  expect((await ask('/')).status).toBe(404);
  expect((await ask('/health', 'POST')).status).toBe(405);
});
