/** Waiting for real processes: conditions polled under a deadline, never a fixed sleep that hopes. */

export async function sleep(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

export interface EventuallyOptions {
  readonly timeoutMs: number;
  /** Between attempts. Default: 100. */
  readonly everyMs?: number;
}

/**
 * Calls `attempt` until it gives something other than undefined.
 * @returns that, and how long it took
 * @throws Error with `what` and the last attempt's error when the time is over
 */
export async function eventually<T>(
  what: string,
  options: EventuallyOptions,
  attempt: () => Promise<T | undefined> | T | undefined,
): Promise<{ readonly value: T; readonly tookMs: number }> {
  const from = performance.now();
  let last: unknown;
  for (;;) {
    try {
      const value = await attempt();
      if (value !== undefined) return { value, tookMs: performance.now() - from };
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() - from > options.timeoutMs)
      throw new Error(`not within ${options.timeoutMs} ms: ${what}`, { cause: last });
    await sleep(options.everyMs ?? 100);
  }
}
