/**
 * How to take back what was made, step by step: whoever starts several things adds a step as soon as each is there, and runs
 * them when the next cannot be made, or at the end.
 */

/** Steps run once, in the reverse order of adding; one that fails does not stop the others. */
export class ClosingSteps {
  private readonly steps: (() => Promise<void>)[] = [];
  private running: Promise<void> | undefined;

  add(step: () => Promise<void>): void {
    this.steps.push(step);
  }

  /** The same promise for everybody. Rejects with the first error after the last step; later ones go along with it. */
  run(): Promise<void> {
    this.running ??= this.runAll();
    return this.running;
  }

  /**
   * As `run`, because of an error: it is what whoever waits must hear, whatever becomes of the steps.
   * @returns never; rejects with the error, along with what the steps failed with
   */
  async runAfter(error: unknown): Promise<never> {
    let first = error;
    try {
      await this.run();
    } catch (closing) {
      first = withErrors(error, [closing]);
    }
    throw first;
  }

  private async runAll(): Promise<void> {
    const errors: unknown[] = [];
    for (const step of this.steps.splice(0).reverse()) {
      try {
        await step();
      } catch (error) {
        errors.push(error);
      }
    }
    const [first, ...others] = errors;
    if (errors.length > 0) throw others.length === 0 ? first : withErrors(first, others);
  }
}

/**
 * The same error, since callers act on its class and code, with others at the end of its chain of causes: there logs and
 * `console.error` show them.
 */
function withErrors(first: unknown, others: readonly unknown[]): unknown {
  const message = 'closing failed as well';
  if (!(first instanceof Error)) return new AggregateError([first, ...others], String(first));
  const seen = new Set<Error>([first]);
  let last = first;
  while (last.cause instanceof Error && !seen.has(last.cause)) {
    last = last.cause;
    seen.add(last);
  }
  const before = last.cause === undefined ? [] : [last.cause];
  last.cause = new AggregateError([...before, ...others], message);
  return first;
}
