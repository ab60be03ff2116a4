/**
 * Seeds on several processes. Reports come in the order of the jobs, whoever was faster, so that what a campaign prints
 * and where it stops do not depend on the number of processes. A process that does not answer is ended, and its seed has
 * failed.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { type Job, jobSwarm, type Report } from './job.ts';

export interface PoolOptions {
  /** Default: as many as the machine has processors. */
  readonly processes?: number;
  /** A seed that takes longer hangs. Unit: ms. */
  readonly seedMsMax?: number;
  /** The program of a process. */
  readonly program?: string;
  /** Jobs handed out, per process, before the reports of earlier ones were taken. 1: none is begun in vain. Default 4. */
  readonly ahead?: number;
}

interface Worker {
  readonly child: ChildProcess;
  job: Job | undefined;
  settle: ((report: Report) => void) | undefined;
  timer: NodeJS.Timeout | undefined;
}

/** Generous: the machine may be busy. A seed takes well below one second of processor time. */
const defaultSeedMsMax = 180_000;
const defaultAhead = 4;
/** A run makes mostly short-lived objects: a large nursery collects half as often. */
const workerFlags = ['--max-semi-space-size=32'];

export class Pool {
  readonly processes: number;
  private readonly seedMsMax: number;
  private readonly program: string;
  private readonly ahead: number;
  private readonly workers: Worker[] = [];
  private readonly idle: Worker[] = [];
  private readonly queue: { readonly job: Job; readonly settle: (report: Report) => void }[] = [];
  private closed = false;

  constructor(options: PoolOptions = {}) {
    this.processes = options.processes ?? availableParallelism();
    this.seedMsMax = options.seedMsMax ?? defaultSeedMsMax;
    this.ahead = options.ahead ?? defaultAhead;
    this.program = options.program ?? fileURLToPath(new URL('./worker.js', import.meta.url));
  }

  /**
   * Runs jobs until there are no more, and yields their reports in their order; then its processes end. `jobs` is asked
   * for the next one only when a process is nearly free, so it may depend on reports that were yielded.
   */
  async *run(jobs: Iterator<Job>): AsyncGenerator<Report> {
    const waiting: Promise<Report>[] = [];
    try {
      for (;;) {
        while (waiting.length < this.processes * this.ahead) {
          const next = jobs.next();
          if (next.done === true) break;
          waiting.push(this.one(next.value));
        }
        const first = waiting.shift();
        if (first === undefined) return;
        yield await first;
      }
    } finally {
      this.close();
    }
  }

  /** Runs one job; the process that did waits for others until `close`. */
  one(job: Job): Promise<Report> {
    return new Promise((settle) => {
      this.queue.push({ job, settle });
      this.start();
    });
  }

  /** Processes that run. */
  get busy(): number {
    return this.workers.length;
  }

  close(): void {
    this.closed = true;
    for (const { child, timer } of this.workers) {
      clearTimeout(timer);
      if (child.connected) child.disconnect();
      child.kill('SIGKILL');
    }
    this.workers.length = 0;
  }

  private start(): void {
    for (;;) {
      const next = this.queue[0];
      if (next === undefined || this.closed) return;
      let worker = this.idle.pop();
      while (worker?.child.connected === false) worker = this.idle.pop();
      worker ??= this.spawn();
      if (worker === undefined) return;
      this.queue.shift();
      this.hand(worker, next.job, next.settle);
    }
  }

  private spawn(): Worker | undefined {
    if (this.workers.length >= this.processes) return undefined;
    const child = fork(this.program, { execArgv: workerFlags });
    const worker: Worker = { child, job: undefined, settle: undefined, timer: undefined };
    child.on('message', (report: Report) => this.settle(worker, report));
    child.on('exit', (code, signal) => {
      const at = this.workers.indexOf(worker);
      if (at >= 0) this.workers.splice(at, 1);
      if (worker.job !== undefined && !this.closed)
        this.settle(worker, failed(worker.job, `the process ended with ${code ?? signal}`));
    });
    this.workers.push(worker);
    return worker;
  }

  private hand(worker: Worker, job: Job, settle: (report: Report) => void): void {
    worker.job = job;
    worker.settle = settle;
    worker.timer = setTimeout(() => {
      worker.child.kill('SIGKILL');
    }, this.seedMsMax);
    worker.child.send(job);
  }

  private settle(worker: Worker, report: Report): void {
    const { settle } = worker;
    clearTimeout(worker.timer);
    worker.job = undefined;
    worker.settle = undefined;
    if (worker.child.connected) this.idle.push(worker);
    settle?.(report);
    this.start();
  }
}

/** A seed that hangs or ends its process: the simulator says nothing more about it. */
function failed(job: Job, message: string): Report {
  return {
    job,
    failure: { kind: 'simulator', message },
    swarm: jobSwarm(job),
    traceHash: '-',
    events: 0,
    virtualMs: 0,
    operations: { ok: 0, unknown: 0, failed: 0 },
    leaders: 0,
    exits: {},
    faults: {},
    probes: {},
    cpuMs: 0,
  };
}
