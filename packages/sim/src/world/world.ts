/**
 * Virtual time and everything that happens in it. One event runs at a time; before the next one, all promise jobs that
 * it caused have run. Time jumps from event to event, so waiting costs nothing. Knows hosts only as owners of events: an
 * event of a host that is paused waits for it, one of a process that has died never runs.
 */
import { type Clock, type Prng, SeededPrng, type Timer } from '@flotilla/base';
import { EventHeap } from './event-heap.ts';
import { Trace, type TraceListener } from './trace.ts';

/** Who an event belongs to. `claim` says what is to become of it now. */
export interface EventOwner {
  readonly name: string;
  /** 'run' it, 'drop' it, or 'keep': the owner has taken it and will schedule it again. */
  claim(event: WorldEvent): 'run' | 'drop' | 'keep';
}

export type EventKind = 'timer' | 'turn' | 'frame' | 'disk' | 'world';

export interface WorldEvent {
  readonly at: number;
  readonly sequence: number;
  readonly kind: EventKind;
  readonly owner: EventOwner | undefined;
  /** Of the owner, when it was scheduled. */
  readonly life: number;
  readonly digest: number;
  readonly run: () => void;
  cancelled: boolean;
}

export interface Scheduled {
  readonly kind: EventKind;
  readonly run: () => void;
  readonly owner?: EventOwner;
  readonly life?: number;
  /** 32 bits of the content, for the trace. */
  readonly digest?: number;
}

/** Independent streams of chance, so that one purpose does not shift another. */
export const Stream = {
  swarm: 1,
  faults: 2,
  network: 3,
  turns: 4,
  founding: 5,
  fates: 6,
  laterClasses: 7,
  transactions: 9,
  splits: 10,
  closing: 11,
  placement: 12,
  hosts: 1000,
  disks: 2000,
  engines: 3000,
  processes: 4000,
  workloads: 8000,
} as const;

/** Nothing is instant: how long after a callback the loop turns. Unit: ms. */
const turnMs: readonly [number, number] = [0.005, 0.05];
/** What a run may take at most; more is a loop that does not end. */
const eventsMax = 20_000_000;
/** Events between two turns of the real loop. */
const ticksPerTurn = 1000;

export class World {
  readonly seed: number;
  readonly trace: Trace;
  /** Until then frames that were sent once may arrive once more. */
  lastReplayMs = 0;
  private readonly heap = new EventHeap<WorldEvent>();
  private readonly turns: Prng;
  private now = 0;
  private sequence = 0;
  private watchers: (() => void)[] = [];
  private ran = 0;

  constructor(seed: number, listener?: TraceListener) {
    this.seed = seed;
    this.trace = new Trace(listener);
    this.turns = this.stream(Stream.turns);
  }

  /** True time since the beginning. Unit: ms. */
  nowMs(): number {
    return this.now;
  }

  stream(stream: number): SeededPrng {
    return new SeededPrng(this.seed, stream);
  }

  at(atMs: number, what: Scheduled): WorldEvent {
    const event: WorldEvent = {
      at: Math.max(this.now, atMs),
      sequence: this.sequence++,
      kind: what.kind,
      owner: what.owner,
      life: what.life ?? 0,
      digest: what.digest ?? 0,
      run: what.run,
      cancelled: false,
    };
    this.heap.push(event);
    return event;
  }

  after(delayMs: number, what: Scheduled): WorldEvent {
    return this.at(this.now + delayMs, what);
  }

  /** When the loop of whoever runs now will turn. */
  turnDelayMs(): number {
    return turnMs[0] + this.turns.nextFloat() * (turnMs[1] - turnMs[0]);
  }

  /** Called after every event, when its promise jobs are done. */
  watch(watcher: () => void): void {
    this.watchers.push(watcher);
  }

  /** A clock without a host: for the network, which belongs to nobody. */
  clock(): Clock {
    return {
      nowMs: () => this.now,
      wallMs: () => Math.floor(this.now),
      setTimer: (delayMs, run) =>
        cancelling(this.after(Math.max(0, delayMs), { kind: 'world', run })),
      afterTurn: (run) => void this.after(this.turnDelayMs(), { kind: 'world', run }),
    };
  }

  /** Runs events until `done` or until `untilMs`; rejects with what an event throws. */
  run(untilMs: number, done: () => boolean = () => false): Promise<void> {
    return new Promise((resolve, reject) => {
      // One event per tick, asked for by a promise job: before the tick, Node runs every promise job there is, also
      // those that others bring forth. Ten times cheaper than a turn of the real loop, which comes now and then, so
      // that messages of other processes get in.
      let ticks = 0;
      const step = (): void => {
        try {
          for (const watcher of this.watchers) watcher();
          if (done() || !this.step(untilMs)) resolve();
          else if (++ticks % ticksPerTurn === 0) setImmediate(step);
          else queueMicrotask(next);
        } catch (error) {
          reject(error);
        }
      };
      const next = (): void => process.nextTick(step);
      setImmediate(step);
    });
  }

  /** Runs one event; false if there is none until `untilMs`, which is then now. */
  private step(untilMs: number): boolean {
    for (;;) {
      const event = this.heap.peek();
      if (event === undefined || event.at > untilMs) {
        this.now = Math.max(this.now, untilMs);
        return false;
      }
      this.heap.pop();
      if (event.cancelled) continue;
      this.now = event.at;
      const claim = event.owner?.claim(event) ?? 'run';
      if (claim !== 'run') continue;
      if (++this.ran > eventsMax) throw new Error(`the run does not end: ${eventsMax} events`);
      this.trace.note(event.at, event.owner?.name ?? '-', event.kind, event.digest);
      event.run();
      return true;
    }
  }
}

export function cancelling(event: WorldEvent): Timer {
  return {
    cancel: () => {
      event.cancelled = true;
    },
  };
}
