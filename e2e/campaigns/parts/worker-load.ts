/** What loads have in common: workers that go on until they are told to stop, and a book of the failures that they meet. */
import { FailureCounts, judgeSdkFailure, type SdkFailure } from './sdk-outcome.ts';

export abstract class WorkerLoad {
  /** What was given up, although it was tried again. */
  readonly failures: FailureCounts = new FailureCounts();
  /** Of a bug: answers that no correct database gives. */
  readonly impossible: FailureCounts = new FailureCounts();
  protected stopping = false;
  private workers: Promise<void>[] = [];

  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.workers);
  }

  /** @param work of one worker, by its number; ends when `stopping` is set */
  protected employ(count: number, work: (worker: number) => Promise<void>): void {
    this.workers = Array.from({ length: count }, (_, worker) => work(worker));
  }

  /** @returns what it says of its call's effect. Anything that is no error of the database is thrown on. */
  protected noteFailure(error: unknown): SdkFailure['outcome'] {
    const { outcome, message } = judgeSdkFailure(error);
    (outcome === 'impossible' ? this.impossible : this.failures).note(message);
    return outcome;
  }
}
