/** `flotilla events`: the sentences that placement wrote down. */
import { decodeEvent, eventSpan, type PlacementEvent } from '@flotilla/shard';
import type { ProcessConfig } from '../config/settings.ts';
import type { Output } from '../output.ts';
import { withCluster } from './with-cluster.ts';

export interface EventsRequest {
  readonly limit: number;
  readonly json: boolean;
  readonly timeoutMs: number;
}

export function runEvents(
  config: ProcessConfig,
  { limit, json, timeoutMs }: EventsRequest,
  output: Output,
): Promise<number> {
  const failed = 'the events are not known';
  return withCluster(config, { timeoutMs, failed, output }, async (router) => {
    const events: PlacementEvent[] = [];
    for await (const rows of router.scan(eventSpan, { limit, reverse: true, timeoutMs }))
      for (const { value } of rows) {
        const event = decodeEvent(value);
        if (event !== undefined) events.push(event);
      }
    for (const event of events.reverse()) output.out(`${json ? jsonOf(event) : textOf(event)}\n`);
    if (events.length === 0 && !json) output.out('Nothing has happened yet.\n');
  });
}

function textOf({ atMs, kind, text }: PlacementEvent): string {
  return `${new Date(atMs).toISOString()}  ${kind.padEnd(14)}  ${text}`;
}

function jsonOf({ atMs, kind, text, rangeId, storeId }: PlacementEvent): string {
  return JSON.stringify({ at: new Date(atMs).toISOString(), kind, text, rangeId, storeId });
}
