/**
 * The tables of schema `flotilla`: the cluster below, as its stores describe it at the moment of the query, and the sessions
 * of this process. Not part of any snapshot. Empty where the engine knows no cluster.
 */
import type { ClusterInspector } from '../../cluster/cluster-inspector.ts';
import { timestampFromUnixMs } from '../../types/timestamp.ts';
import { ArrayValue } from '../../types/values.ts';
import { KeyNames } from '../key-names.ts';
import type { RowsOf, SystemRow } from './layout.ts';
import type { VirtualSource } from './virtual-table.ts';

type Datum = SystemRow[string];

function rowsOf<Facts>(
  factsOf: (cluster: ClusterInspector) => Promise<readonly Facts[]>,
  rowOf: (facts: Facts, names: KeyNames) => SystemRow,
): RowsOf {
  return async function* (source: VirtualSource) {
    const { cluster, snapshot, text } = source;
    if (cluster === undefined) return;
    const names = new KeyNames(snapshot, text);
    for (const facts of await factsOf(cluster)) yield rowOf(facts, names);
  };
}

function moment(unixMs: number | undefined): Datum {
  return unixMs === undefined ? null : timestampFromUnixMs(unixMs);
}

function whole(value: number | undefined): Datum {
  return value === undefined ? null : BigInt(Math.round(value));
}

function uuid(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
}

function place(key: Uint8Array, names: KeyNames): SystemRow {
  const { schema = null, relation = null, index = null } = names.placeOf(key);
  return { schema_name: schema, table_name: relation, index_name: index };
}

const stores = rowsOf(
  (cluster) => cluster.stores(),
  (store) => ({
    store_id: store.storeId,
    machine: store.machine,
    zone: store.zone,
    version: store.version,
    state: store.state,
    draining: store.draining,
    decommissioning: store.decommissioning,
    replicas: store.replicas,
    leases: store.leases,
    live_bytes: whole(store.liveBytes),
    wal_bytes: whole(store.walBytes),
    capacity_bytes: store.capacityBytes === 0 ? null : whole(store.capacityBytes),
    used_bytes: store.capacityBytes === 0 ? null : whole(store.usedBytes),
    requests_per_second: whole(store.requestsPerSecond),
    uptime_ms: whole(store.uptimeMs),
    clock_skew_ms: store.clockSkewMs ?? null,
    round_trip_ms: store.roundTripMs ?? null,
    process_id: store.processId ?? null,
    reported_at: moment(store.reportedAtMs),
  }),
);

const ranges = rowsOf(
  (cluster) => cluster.ranges(),
  (range, names) => {
    const of = (learners: boolean): ArrayValue =>
      new ArrayValue(
        range.replicas.filter((one) => one.voter !== learners).map((one) => one.storeId),
      );
    return {
      range_id: BigInt(range.rangeId),
      start_key: range.startKey,
      end_key: range.endKey,
      start_text: names.textOf(range.startKey),
      end_text: names.textOf(range.endKey),
      ...place(range.startKey, names),
      leaseholder: range.leaseholder ?? null,
      replicas: of(false),
      learners: of(true),
      lease: range.lease,
      lease_remaining_ms: Math.round(range.leaseRemainingMs),
      term: BigInt(range.term),
      generation: BigInt(range.generation),
      live_bytes: whole(range.liveBytes),
      requests_per_second: whole(range.requestsPerSecond),
    };
  },
);

const events = rowsOf(
  (cluster) => cluster.events(),
  (event) => ({
    number: BigInt(event.number),
    at: moment(event.atMs),
    kind: event.kind,
    message: event.text,
    range_id: whole(event.rangeId),
    store_id: event.storeId ?? null,
  }),
);

const transactions = rowsOf(
  (cluster) => cluster.transactions(),
  (transaction) => ({
    transaction_id: uuid(transaction.id),
    started_at: moment(transaction.startedAtMs),
    locks: whole(transaction.locks),
    intents: whole(transaction.intents),
    waits: transaction.waits,
    stores: new ArrayValue([...transaction.stores]),
    coordinator: transaction.coordinator === '' ? null : transaction.coordinator,
  }),
);

const locks = rowsOf(
  (cluster) => cluster.locks(),
  (lock, names) => ({
    store_id: lock.storeId,
    range_id: BigInt(lock.rangeId),
    key: lock.key,
    key_text: names.textOf(lock.key),
    ...place(lock.key, names),
    mode: lock.mode,
    granted: lock.granted,
    transaction_id: lock.transaction === undefined ? null : uuid(lock.transaction),
    blocked_by: lock.granted ? null : new ArrayValue(lock.blockedBy.map(uuid)),
    waiting_since: moment(lock.waitingSinceMs),
  }),
);

const contendedKeys = rowsOf(
  (cluster) => cluster.contendedKeys(),
  (key, names) => ({
    store_id: key.storeId,
    range_id: key.rangeId === 0 ? null : BigInt(key.rangeId),
    key: key.key,
    key_text: names.textOf(key.key),
    ...place(key.key, names),
    waits: whole(key.waits),
    waited_ms: whole(key.waitedMs),
    conflicts: whole(key.conflicts),
    last_at: moment(key.lastAtMs),
  }),
);

async function* sessions(source: VirtualSource): AsyncIterable<SystemRow> {
  for (const session of await source.sessions())
    yield {
      process_id: session.client.processId,
      user_name: session.user,
      database: session.database,
      application_name: session.applicationName,
      client_address: session.client.address ?? null,
      client_port: session.client.port ?? null,
      state: session.state,
      started_at: session.startedAt,
      state_since: session.stateSince,
      transaction_started_at: session.transactionStartedAt ?? null,
      statement_started_at: session.statementStartedAt ?? null,
      statement: session.statement,
    };
}

async function* droppedStorage(source: VirtualSource): AsyncIterable<SystemRow> {
  const names = new KeyNames(source.snapshot, source.text);
  for (const { name, span, droppedAtMs } of await source.droppedStorage())
    yield {
      name,
      start_key: span.startKey,
      end_key: span.endKey,
      start_text: names.textOf(span.startKey),
      dropped_at: moment(droppedAtMs),
    };
}

/** What the ranges of each are to obey. */
async function* databases({ snapshot }: VirtualSource): AsyncIterable<SystemRow> {
  for (const { name, ranges = {} } of snapshot.databases.values())
    yield {
      name,
      replicas: ranges.replicas ?? null,
      split_bytes: whole(ranges.splitBytes),
      lease_preference: ranges.leasePreference ?? null,
    };
}

export const flotillaTables: Readonly<Record<string, RowsOf>> = {
  contended_keys: contendedKeys,
  databases,
  dropped_storage: droppedStorage,
  events,
  locks,
  ranges,
  sessions,
  stores,
  transactions,
};
