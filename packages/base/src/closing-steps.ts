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

  /** The same promise for everybody. Rejects with the first error after the last step. */
  run(): Promise<void> {
    this.running ??= this.runAll();
    return this.running;
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
    if (errors.length > 0) throw errors[0];
  }
}
