/** Health and metrics over HTTP, by a real server on a free port. */
import { Buckets, silentLogger } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import type { GatewayCounters } from '@flotilla/gateway';
import type { StoreFigures } from '@flotilla/shard';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type HttpServer, startHttp } from './http-server.ts';
import { metricsOf } from './metrics.ts';
import { ProcessHealth } from './process-health.ts';

const times = new Buckets([1, 10]);
for (const ms of [0.5, 5, 5000]) times.observe(ms);
const counters: GatewayCounters = {
  ...{ connections: 7, retries: 2, statementTimes: times },
  ...{ statements: new Map([['SELECT', 5]]), errors: new Map([['23', 1]]) },
} as GatewayCounters;
/** Each figure is another number, so that none is shown in the place of another. */
const names = [
  ...['replicas', 'leases', 'requests', 'requestsInFlight', 'walBytes', 'closedLagMs'],
  ...['replicasNothingClosed', 'followerReads', 'followerReadsRefused', 'rangesUnderReplicated'],
  ...['replicasWithoutLeader', 'leasesTaken', 'splits', 'snapshotsSending', 'snapshotsReceiving'],
  ...['snapshotsSent', 'snapshotsReceived', 'loopDelayP99Ms', 'loopStalls', 'droppedMessages'],
  ...['bytesToWrite', 'bytesToApply'],
];
const figures = {
  ...Object.fromEntries(names.map((name, i) => [name, 1000 + i])),
  ...{ logWriteTimes: times, applyTimes: times, requestTimes: times },
  ...{ requestsByKind: { get: 11, write: 12 }, refusals: { busy: 13 } },
} as unknown as StoreFigures;

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
    gateway: { connectionCount: 3, counters, spilledBytes: () => 4096 },
    store: { figures: () => figures, writeHealth: undefined },
    capacity: () => ({ capacityBytes: 1000, usedBytes: 400 }),
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

it('is ready from when it serves until it stops, and says what it waits for', async () => {
  expect(await ask('/ready')).toEqual({ status: 503, text: 'starting, or stopping\n' });
  health.waitsFor = 'a nats-server';
  expect(await ask('/ready')).toEqual({
    status: 503,
    text: 'starting: waits for a nats-server\n',
  });
  health.markServing();
  expect(await ask('/ready')).toEqual({ status: 200, text: 'ready\n' });
  health.markStopping();
  expect(await ask('/ready')).toEqual({ status: 503, text: 'starting, or stopping\n' });
});

it('serves metrics under their names, and nothing else', async () => {
  const { status, text } = await ask('/metrics?x=1');
  expect(status).toBe(200);
  expect(text).toContain('flotilla_gateway_connections_count 3\n');
  for (const line of [
    'flotilla_store_replicas_count 1000',
    'flotilla_store_leases_count 1001',
    'flotilla_store_requests_total 1002',
    'flotilla_store_requests_in_flight_count 1003',
    'flotilla_store_wal_bytes 1004',
    'flotilla_store_closed_timestamp_lag_seconds 1.005',
    'flotilla_store_replicas_nothing_closed_count 1006',
    'flotilla_store_follower_reads_total 1007',
    'flotilla_store_follower_reads_refused_total 1008',
    'flotilla_store_ranges_under_replicated_count 1009',
    'flotilla_store_replicas_without_leader_count 1010',
    'flotilla_store_leases_taken_total 1011',
    'flotilla_store_splits_total 1012',
    'flotilla_store_snapshots_sending_count 1013',
    'flotilla_store_snapshots_receiving_count 1014',
    'flotilla_store_snapshots_sent_total 1015',
    'flotilla_store_snapshots_received_total 1016',
    'flotilla_store_loop_delay_p99_seconds 1.017',
    'flotilla_store_loop_stalls_total 1018',
    'flotilla_store_raft_messages_dropped_total 1019',
    'flotilla_store_wal_waiting_bytes 1020',
    'flotilla_store_apply_waiting_bytes 1021',
    'flotilla_store_disk_capacity_bytes 1000',
    'flotilla_store_disk_used_bytes 400',
    'flotilla_store_disk_free_bytes 600',
    'flotilla_store_requests_admitted_total{kind="write"} 12',
    'flotilla_store_requests_refused_total{reason="busy"} 13',
    'flotilla_gateway_connections_total 7',
    'flotilla_gateway_statements_total{kind="SELECT"} 5',
    'flotilla_gateway_errors_total{class="23"} 1',
    'flotilla_gateway_statement_retries_total 2',
    'flotilla_gateway_spilled_bytes_total 4096',
  ])
    expect(text.split('\n')).toContain(line);
  for (const name of [
    'store_request_duration_seconds',
    'store_wal_sync_duration_seconds',
    'store_apply_duration_seconds',
    'gateway_statement_duration_seconds',
  ])
    expect(text).toContain(
      [
        `# TYPE flotilla_${name} histogram`,
        `flotilla_${name}_bucket{le="0.001"} 1`,
        `flotilla_${name}_bucket{le="0.01"} 2`,
        `flotilla_${name}_bucket{le="+Inf"} 3`,
        `flotilla_${name}_sum 5.0055`,
        `flotilla_${name}_count 3`,
      ].join('\n'),
    );
  expect(text).toContain('flotilla_nodejs_eventloop_lag_seconds');
  for (const [, name] of text.matchAll(/^# TYPE (\S+)/gm))
    expect(name).toMatch(/^flotilla_[a-z]+_/);
  // Again: counters are what they are, not more.
  expect((await ask('/metrics')).text).toContain('flotilla_store_requests_total 1002\n');
  expect((await ask('/')).status).toBe(404);
  expect((await ask('/health', 'POST')).status).toBe(405);
});

it('tells the age of the last committed write, and of the process where there was none', async () => {
  let committed: number | undefined;
  clock.advance(70_000);
  const metrics = metricsOf({
    nowMs: () => clock.nowMs(),
    store: {
      figures: () => figures,
      get writeHealth() {
        return { committedAtMs: committed, everyMs, reason: '' };
      },
    },
  });
  const age = async () =>
    Number(/^\S+_last_committed_write_age_seconds (\S+)$/m.exec(await metrics.metrics())?.[1]);
  clock.advance(30_000);
  expect(await age()).toBe(30);
  committed = clock.nowMs();
  clock.advance(4000);
  expect(await age()).toBe(4);
});

it('leaves out what there is not', async () => {
  const text = await metricsOf({ nowMs: () => 0 }).metrics();
  expect(text).not.toMatch(/^flotilla_(store|gateway)_/m);
});
