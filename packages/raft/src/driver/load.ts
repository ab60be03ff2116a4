/**
 * Whether this store has more to do than it can: how late its event loop is, and how many bytes wait for the disk or the
 * state machine. Admission asks before it takes new work of clients; consensus goes on whatever the answer is. Also notes
 * when the loop stood still. Costs nothing while nobody asks: the loop is timed by the asking.
 */
import type { DriverShell } from './driver-options.ts';
import type { Overload } from './multi-raft.ts';

/** Samples of one window; more are thinned out. */
const samplesMax = 512;
/** A store with little to do may be late once or twice a second: a collection of garbage is no overload. */
const outliers = 3;

export class LoopDelay {
  private readonly shell: DriverShell;
  private samples: number[] = [];
  private windowStartMs: number;
  private p99Ms = 0;
  private isTiming = false;
  private stallCount = 0;
  private longestMs = 0;

  constructor(shell: DriverShell) {
    this.shell = shell;
    this.windowStartMs = shell.clock.nowMs();
  }

  get lastP99Ms(): number {
    return this.p99Ms;
  }
  get stalls(): number {
    return this.stallCount;
  }
  get longestStallMs(): number {
    return this.longestMs;
  }

  /** p99 of the last whole window. Times this turn of the loop, if none is being timed. */
  measure(): number {
    const { clock } = this.shell;
    const startMs = clock.nowMs();
    this.closeWindow(startMs);
    if (!this.isTiming) {
      this.isTiming = true;
      clock.afterTurn(() => {
        this.isTiming = false;
        const now = clock.nowMs();
        if (this.samples.length < samplesMax) this.samples.push(now - startMs);
        else this.samples[Math.floor(now) % samplesMax] = now - startMs;
      });
    }
    return this.p99Ms;
  }

  /** A timer came `lateMs` too late: the loop stood, or the process did. */
  onLateTimer(lateMs: number): void {
    const { logger, options } = this.shell;
    if (lateMs <= options.driverLimits.loopStallMsMax) return;
    this.stallCount++;
    this.longestMs = Math.max(this.longestMs, lateMs);
    logger.warn({ lateMs: Math.round(lateMs), stalls: this.stallCount }, 'event_loop_stood_still');
  }

  private closeWindow(now: number): void {
    const { loopWindowMs } = this.shell.options.driverLimits;
    if (now - this.windowStartMs < loopWindowMs) return;
    const { samples } = this;
    // Nobody asked for a whole window: there was no work to be late with.
    if (now - this.windowStartMs >= 2 * loopWindowMs) samples.length = 0;
    samples.sort((a, b) => a - b);
    const at = Math.min(Math.ceil(samples.length * 0.99) - 1, samples.length - outliers);
    this.p99Ms = samples[at] ?? 0;
    this.samples = [];
    this.windowStartMs = now;
  }
}

/** Above `high` it is on, below `low` off, between them as before. */
export class Hysteresis {
  private readonly low: number;
  private readonly high: number;
  private on = false;

  constructor(low: number, high: number) {
    this.low = low;
    this.high = high;
  }

  update(value: number): boolean {
    if (value > this.high) this.on = true;
    else if (value < this.low) this.on = false;
    return this.on;
  }
}

export class Load {
  readonly loop: LoopDelay;
  private readonly late: Hysteresis;
  private readonly full: Hysteresis;
  private readonly waitingBytes: () => number;

  /** @param waitingBytes of entries that wait for the disk or the state machine, over all groups */
  constructor(shell: DriverShell, waitingBytes: () => number) {
    const { loopDelayMsMax, waitingBytesMax } = shell.options.driverLimits;
    this.loop = new LoopDelay(shell);
    this.late = new Hysteresis(loopDelayMsMax / 2, loopDelayMsMax);
    this.full = new Hysteresis(waitingBytesMax / 2, waitingBytesMax);
    this.waitingBytes = waitingBytes;
  }

  /** O(1) but for one look at the samples per second. */
  overload(): Overload {
    const late = this.late.update(this.loop.measure());
    const full = this.full.update(this.waitingBytes());
    return late || full ? 'busy' : 'none';
  }
}
