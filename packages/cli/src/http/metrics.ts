/**
 * What a process counts, for Prometheus: `flotilla_<part>_<what>_<unit>`. Everything is looked up when it is asked for, so
 * that nothing is counted twice and hot paths know nothing of metrics. One registry per process of the cluster.
 */
import type { Capacity, Store, StoreFigures } from '@flotilla/shard';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { addGatewayMetrics, type GatewaySource } from './gateway-metrics.ts';
import { Instruments } from './instruments.ts';
import { addStoreMetrics } from './store-metrics.ts';

export interface MetricSources {
  store?: Pick<Store, 'figures' | 'writeHealth'>;
  /** Of the volume with the store's data, as it was looked at last. */
  capacity?: () => Capacity | undefined;
  gateway?: GatewaySource;
  /** Monotonic. Unit: ms. */
  readonly nowMs: () => number;
}

/** @param sources filled in as the roles start */
export function metricsOf(sources: MetricSources): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'flotilla_' });
  const instruments = new Instruments(registry);
  let seen: StoreFigures | undefined;
  addStoreMetrics(instruments, {
    figures: () => {
      // All metrics of a scrape are collected in one turn of the loop.
      if (seen === undefined) {
        seen = sources.store?.figures();
        setImmediate(() => {
          seen = undefined;
        });
      }
      return seen;
    },
    writeHealth: () => sources.store?.writeHealth,
    capacity: () => sources.capacity?.(),
    nowMs: sources.nowMs,
  });
  addGatewayMetrics(instruments, () => sources.gateway);
  return registry;
}
