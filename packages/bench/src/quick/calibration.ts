/**
 * A fixed piece of work, done on all processors at once, as a measure of how fast this machine is at the moment. Rates
 * times its duration say how much a system does in the time of that work, and hardly depend on how busy the machine is.
 */
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

export class Calibration {
  private readonly workers: readonly Worker[];

  private constructor(workers: readonly Worker[]) {
    this.workers = workers;
  }

  /** Its threads sleep until they are asked. */
  static async start(): Promise<Calibration> {
    const program = new URL('./calibration-worker.js', import.meta.url);
    const workers = Array.from({ length: availableParallelism() }, () => new Worker(program));
    await Promise.all(workers.map((worker) => once(worker, 'online')));
    const calibration = new Calibration(workers);
    await calibration.seconds(); // the code is compiled now
    return calibration;
  }

  /** Does the work. @returns how long it took, the mean of all processors. Unit: s */
  async seconds(): Promise<number> {
    const times = await Promise.all(
      this.workers.map(async (worker): Promise<number> => {
        const answer = once(worker, 'message');
        worker.postMessage('work');
        const [seconds] = await answer;
        return Number(seconds);
      }),
    );
    return times.reduce((sum, time) => sum + time, 0) / times.length;
  }

  async close(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }
}
