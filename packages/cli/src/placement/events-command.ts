/** `flotilla events`: what happened, in the sentences that stores wrote down; page by page, from the newest back. */
import { type NumberedEvent, type Router, readEvents } from '@flotilla/router';
import type { ProcessConfig } from '../config/settings.ts';
import type { Output } from '../output.ts';
import { withCluster } from './with-cluster.ts';

export interface EventsRequest {
  readonly limit: number;
  /** Of those with a lower number alone. */
  readonly before?: number;
  readonly json: boolean;
  readonly timeoutMs: number;
}

export function runEvents(
  config: ProcessConfig,
  request: EventsRequest,
  output: Output,
): Promise<number> {
  const { timeoutMs } = request;
  const failed = 'the events are not known';
  return withCluster(config, { timeoutMs, failed, output }, (router) =>
    showEvents(router, request, output),
  );
}

/** Over any router. Rejects with DbError. */
export async function showEvents(
  router: Router,
  { limit, before, json, timeoutMs }: EventsRequest,
  output: Output,
): Promise<void> {
  const page = before === undefined ? { limit, timeoutMs } : { limit, timeoutMs, before };
  const events = [...(await readEvents(router, page))].reverse();
  for (const event of events) output.out(`${json ? jsonOf(event) : textOf(event)}\n`);
  if (json) return;
  if (events.length === 0) output.out('Nothing has happened yet.\n');
  const [{ number = 1 } = {}] = events;
  if (events.length === limit && number > 1) output.out(`Older ones: --before ${number}\n`);
}

function textOf({ event: { atMs, kind, text } }: NumberedEvent): string {
  return `${new Date(atMs).toISOString()}  ${kind.padEnd(14)}  ${text}`;
}

function jsonOf({ number, event }: NumberedEvent): string {
  const { atMs, kind, text, rangeId, storeId } = event;
  return JSON.stringify({ number, at: new Date(atMs).toISOString(), kind, text, rangeId, storeId });
}
