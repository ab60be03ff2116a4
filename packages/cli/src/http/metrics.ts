/**
 * What a process counts, for Prometheus: `flotilla_<part>_<what>_<unit>`. Everything is looked up when it is asked for, so
 * that nothing is counted twice and hot paths know nothing of metrics. One registry per process of the cluster.
 */
import type { Store } from '@flotilla/shard';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';

export interface MetricSources {
  store?: Store;
  gateway?: { readonly connectionCount: number };
  /** Monotonic. Unit: ms. */
  readonly nowMs: () => number;
}

/** @param sources filled in as the roles start */
export function metricsOf(sources: MetricSources): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'flotilla_' });
  const gauge = (name: string, help: string, value: () => number | undefined): void => {
    const metric: Gauge = new Gauge({
      name,
      help,
      registers: [registry],
      collect: () => {
        const now = value();
        if (now === undefined) metric.reset();
        else metric.set(now);
      },
    });
  };
  const counter = (name: string, help: string, total: () => number | undefined): void => {
    const metric: Counter = new Counter({
      name,
      help,
      registers: [registry],
      collect: () => {
        metric.reset();
        metric.inc(total() ?? 0);
      },
    });
  };
  const store = (): ReturnType<Store['figures']> | undefined => sources.store?.figures();
  gauge('flotilla_store_replicas_count', 'Replicas of this store.', () => store()?.replicas);
  gauge('flotilla_store_leases_count', 'Ranges that this store leads.', () => store()?.leases);
  gauge('flotilla_store_wal_bytes', 'Size of the write-ahead log.', () => store()?.walBytes);
  gauge(
    'flotilla_store_requests_in_flight_count',
    'Requests admitted and not yet answered.',
    () => store()?.requestsInFlight,
  );
  counter('flotilla_store_requests_total', 'Requests answered.', () => store()?.requests);
  gauge(
    'flotilla_store_closed_timestamp_lag_seconds',
    'How far the last replica that follows is from the present in what it may serve by itself.',
    () => {
      const figures = store();
      return figures === undefined ? undefined : figures.closedLagMs / 1000;
    },
  );
  gauge(
    'flotilla_store_replicas_nothing_closed_count',
    'Replicas that follow and have heard of nothing that is closed.',
    () => store()?.replicasNothingClosed,
  );
  counter(
    'flotilla_store_follower_reads_total',
    'Reads of the past that replicas which follow have served by themselves.',
    () => store()?.followerReads,
  );
  counter(
    'flotilla_store_follower_reads_refused_total',
    'Reads of the past that replicas which follow have sent to the leaseholder.',
    () => store()?.followerReadsRefused,
  );
  gauge(
    'flotilla_store_last_committed_write_age_seconds',
    "Since the store's own row was committed last.",
    () => {
      const at = sources.store?.writeHealth?.committedAtMs;
      return at === undefined ? undefined : (sources.nowMs() - at) / 1000;
    },
  );
  gauge(
    'flotilla_gateway_connections_count',
    'Open connections of clients.',
    () => sources.gateway?.connectionCount,
  );
  return registry;
}
