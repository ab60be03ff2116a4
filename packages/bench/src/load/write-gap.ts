/**
 * How long writes stand still while members die: writers that each write their own key, one write after the other, and
 * the longest time that any of them had to wait from one acknowledgement to the next.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { KvClient } from './kv-client.ts';
import { keyOf } from './kv-job.ts';

const writers = 16;
/** Between a writer's writes. */
const pauseMs = 5;
/** An attempt that has no answer by then is given up, and another made. */
const attemptTimeoutMs = 500;
/** Before the next attempt after one that failed. */
const retryPauseMs = 5;

export interface GapResult {
  /** The longest of any writer. Unit: ms. */
  readonly gapMs: number;
  readonly writes: number;
  readonly failedAttempts: number;
}

/** @param onSteady called when every writer has written @param until resolves when it shall end */
export async function measureWriteGap(
  client: KvClient,
  onSteady: () => void,
  until: Promise<unknown>,
): Promise<GapResult> {
  const value = Buffer.alloc(64, 'g');
  let [gapMs, writes, failedAttempts, steady] = [0, 0, 0, 0];
  let stopped = false;
  const writer = async (number: number): Promise<void> => {
    const key = keyOf({ keyBytes: 64 }, number);
    let last: number | undefined;
    while (!stopped) {
      try {
        await client.put(key, value, attemptTimeoutMs);
      } catch {
        failedAttempts++;
        await sleep(retryPauseMs);
        continue;
      }
      writes++;
      const now = performance.now();
      if (last !== undefined) gapMs = Math.max(gapMs, now - last);
      else if (++steady === writers) onSteady();
      last = now;
      await sleep(pauseMs);
    }
    // What had no answer at the end has waited at least until now.
    if (last !== undefined) gapMs = Math.max(gapMs, performance.now() - last);
  };
  const all = Promise.all(Array.from({ length: writers }, (_, i) => writer(i)));
  await until;
  stopped = true;
  await all;
  return { gapMs, writes, failedAttempts };
}
