/**
 * The results of many sources in the order of the sources, with several of them under way at once. What comes too early
 * waits, and its source with it once it is ahead by so much. An error is raised where it stands in that order: whoever
 * stops before it never meets it.
 */

export interface AheadLimits<Result> {
  /** Sources under way at once. */
  readonly sources: number;
  /** What results of one source may weigh that wait, before the last of them. */
  readonly weight: number;
  readonly weigh: (result: Result) => number;
}

export async function* inOrder<Source, Result>(
  sources: readonly Source[],
  open: (source: Source) => AsyncIterable<Result>,
  limits: AheadLimits<Result>,
): AsyncGenerator<Result, void, undefined> {
  const pumps: Pump<Result>[] = [];
  let next = 0;
  try {
    for (;;) {
      for (; pumps.length < limits.sources && next < sources.length; next++)
        pumps.push(new Pump(open(sources[next] as Source), limits));
      const [head] = pumps;
      if (head === undefined) return;
      for (;;) {
        const result = await head.take();
        if (result === undefined) break;
        yield result.value;
      }
      pumps.shift();
    }
  } finally {
    for (const pump of pumps) pump.stop();
  }
}

/** Draws results from one source as long as there is room for them. */
class Pump<Result> {
  private readonly iterator: AsyncIterator<Result>;
  private readonly limits: AheadLimits<Result>;
  private weight = 0;
  private readonly ready: { readonly value: Result }[] = [];
  private failure: { readonly error: unknown } | undefined;
  private ended = false;
  private drawing = false;
  private wake: (() => void) | undefined;

  constructor(source: AsyncIterable<Result>, limits: AheadLimits<Result>) {
    this.iterator = source[Symbol.asyncIterator]();
    this.limits = limits;
    void this.draw();
  }

  /** Undefined: there are no more. Throws what the source has thrown. */
  async take(): Promise<{ readonly value: Result } | undefined> {
    for (;;) {
      const result = this.ready.shift();
      if (result !== undefined) this.weight -= this.limits.weigh(result.value);
      if (!this.drawing && !this.ended) void this.draw();
      if (result !== undefined) return result;
      if (this.failure !== undefined) throw this.failure.error;
      if (this.ended) return undefined;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  /** Nobody takes any more. */
  stop(): void {
    this.ended = true;
    // Waits for what is under way; what it says then is of no use to anybody.
    this.iterator.return?.().then(undefined, () => undefined);
  }

  private async draw(): Promise<void> {
    this.drawing = true;
    try {
      while (!this.ended && this.weight < this.limits.weight) {
        const { done, value } = await this.iterator.next();
        if (done === true) this.ended = true;
        else {
          this.ready.push({ value });
          this.weight += this.limits.weigh(value);
        }
        this.wakeUp();
      }
    } catch (error) {
      this.failure = { error };
      this.ended = true;
    } finally {
      this.drawing = false;
      this.wakeUp();
    }
  }

  private wakeUp(): void {
    const { wake } = this;
    this.wake = undefined;
    wake?.();
  }
}
