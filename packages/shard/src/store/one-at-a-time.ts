/**
 * Checkpoints, installations of snapshots and removals of replicas of one store take turns: each notes where ranges stand
 * in the engine and then tells the log, and what one noted must still be so when it tells.
 */
export class OneAtATime {
  private last: Promise<unknown> = Promise.resolve();

  run<T>(job: () => Promise<T>): Promise<T> {
    const turn = this.last.then(job);
    // A failed job is its caller's to report.
    this.last = turn.catch(() => {});
    return turn;
  }
}
