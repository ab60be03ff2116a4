/**
 * The cluster's rows about itself (first range): what stores report, what operators want of them, what placement did. Read
 * through any router, for people. Rows that do not decode are left out.
 */
import { timestampToWallMs, toTimestamp } from '@flotilla/base';
import {
  decodeEvent,
  decodeIntent,
  decodeReport,
  eventKey,
  eventNumber,
  eventSpan,
  intentSpan,
  type PlacementEvent,
  reportSpan,
  type StoreIntent,
  type StoreReport,
  storeOfKey,
} from '@flotilla/shard/protocol';
import type { ScanOptions } from './kv-types.ts';
import type { Router } from './router-api.ts';

export interface StoreRows {
  readonly report: StoreReport;
  /** When the store wrote it. Since 1970. Unit: ms. */
  readonly reportedAtMs: number;
  /** Undefined: nobody wants anything in particular. */
  readonly intent: StoreIntent | undefined;
}

/** Every store that ever joined, by number. Rejects as a scan does. */
export async function readStoreRows(
  router: Router,
  options?: ScanOptions,
): Promise<ReadonlyMap<number, StoreRows>> {
  const intents = new Map<number, StoreIntent>();
  for await (const rows of router.scan(intentSpan, options))
    for (const { key, value } of rows) {
      const intent = decodeIntent(value);
      if (intent !== undefined) intents.set(storeOfKey(key), intent);
    }
  const stores = new Map<number, StoreRows>();
  for await (const rows of router.scan(reportSpan, options))
    for (const { key, value, timestamp } of rows) {
      const report = decodeReport(value);
      if (report === undefined || report.storeId < 1 || report.storeId !== storeOfKey(key))
        continue;
      const reportedAtMs = timestampToWallMs(toTimestamp(timestamp));
      stores.set(report.storeId, { report, reportedAtMs, intent: intents.get(report.storeId) });
    }
  return stores;
}

export interface NumberedEvent {
  /** From 1, one more for each. */
  readonly number: number;
  readonly event: PlacementEvent;
}

/** The newest events, newest first; `before`: of those with a lower number. Rejects as a scan does. */
export async function readEvents(
  router: Router,
  options: ScanOptions & { readonly before?: number } = {},
): Promise<readonly NumberedEvent[]> {
  const { before, ...scanOptions } = options;
  const span = before === undefined ? eventSpan : { ...eventSpan, endKey: eventKey(before) };
  const events: NumberedEvent[] = [];
  for await (const rows of router.scan(span, { ...scanOptions, reverse: true }))
    for (const { key, value } of rows) {
      const event = decodeEvent(value);
      if (event !== undefined) events.push({ number: eventNumber(key), event });
    }
  return events;
}
