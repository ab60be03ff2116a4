/**
 * `flotilla top`: what the cluster does now, again every two seconds: stores, the busiest ranges, the longest transactions,
 * contended keys, what placement did last. Asks the stores themselves; names of tables are added where SQL answers.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { DbError, osPrng, SystemClock } from '@flotilla/base';
import { createFlotilla, createInspector, type Flotilla } from '@flotilla/client';
import type { Router } from '@flotilla/router';
import type { ProcessConfig } from '../config/settings.ts';
import type { Output } from '../output.ts';
import { withCluster } from '../placement/with-cluster.ts';
import { colours } from '../status/status-command.ts';
import { plainPaint } from '../status/status-table.ts';
import { type TopPicture, topJson, topText } from './top-text.ts';

const intervalMs = 2_000;
/** Names are worth no long wait. Unit: ms. */
const namesTimeoutMs = 1_500;
const clearScreen = '\u001b[2J\u001b[H';

/** Of the newest events: more than any screen has lines. */
const eventsShownMax = 200;

export interface TopRequest {
  readonly once: boolean;
  readonly json: boolean;
  /** Of each list. */
  readonly rows: number;
  readonly timeoutMs: number;
}

export function runTop(
  config: ProcessConfig,
  request: TopRequest,
  output: Output,
): Promise<number> {
  const { timeoutMs, once, json, rows } = request;
  const failed = 'nothing can be shown';
  return withCluster(config, { timeoutMs, failed, output }, async (router) => {
    const terminal = process.stdout.isTTY && !json;
    const names = new RangeNames(router);
    const paint = terminal ? colours : plainPaint;
    for (;;) {
      const picture = await gatherTop(router);
      if (!json) await names.learn(picture);
      const text = json
        ? topJson(picture)
        : topText(picture, { rows, names: names.byRange, paint });
      output.out(terminal && !once ? `${clearScreen}${text}` : text);
      if (once) return;
      await sleep(intervalMs);
    }
  });
}

/** Parts that cannot be read are left out, and named. Rejects where the router is closed. */
export async function gatherTop(router: Router): Promise<TopPicture> {
  const clock = new SystemClock();
  const inspector = createInspector(router, clock);
  const missing: string[] = [];
  const part = async <Row>(
    name: string,
    read: Promise<readonly Row[]>,
  ): Promise<readonly Row[]> => {
    try {
      return await read;
    } catch (error) {
      if (!(error instanceof DbError) || error.code === 'CLOSED') throw error;
      missing.push(`${name} cannot be read: ${error.message}`);
      return [];
    }
  };
  const [{ stores, ranges }, transactions, locks, contendedKeys, events] = await Promise.all([
    inspector.snapshot(),
    part('transactions', inspector.transactions()),
    part('locks', inspector.locks()),
    part('contended keys', inspector.contendedKeys()),
    part('events', inspector.events(eventsShownMax)),
  ]);
  const atMs = clock.wallMs();
  return { atMs, stores, ranges, transactions, locks, contendedKeys, events, missing };
}

/** Where ranges begin, as the catalog names it. What SQL does not say in time is left to the bytes. */
class RangeNames {
  readonly byRange = new Map<number, string>();
  private readonly router: Router;
  private flotilla: Promise<Flotilla> | undefined;

  constructor(router: Router) {
    this.router = router;
  }

  async learn({ ranges }: TopPicture): Promise<void> {
    if (ranges.every(({ rangeId }) => this.byRange.has(rangeId))) return;
    const timeout = sleep(namesTimeoutMs, undefined, { ref: false });
    await Promise.race([this.ask(), timeout]);
  }

  private async ask(): Promise<void> {
    try {
      this.flotilla ??= createFlotilla({
        router: this.router,
        clock: new SystemClock(),
        prng: osPrng(),
      });
      const { sql } = await this.flotilla;
      const { rows } = await sql<{ range_id: bigint; start_text: string }>`
        SELECT range_id, start_text FROM flotilla.ranges`;
      for (const row of rows) this.byRange.set(Number(row.range_id), row.start_text);
    } catch {
      // The bytes are shown, and the next round asks again.
      this.flotilla = undefined;
    }
  }
}
