/**
 * A machine with one process on it: its clocks, its event loop, its life and death. Clocks run at their own speed; a
 * stopped process hears everything at once when it goes on; nothing of a dead process ever runs again.
 */
import type { Clock, Prng, Timer } from '@flotilla/base';
import { cancelling, type EventOwner, Stream, type World, type WorldEvent } from './world.ts';

export interface HostClocks {
  /** Speed of the monotonic and the wall clock; 1 is true. Leases bear up to 1 % of difference from it. */
  readonly rate: number;
  /** Wall clock less true time at the beginning. Unit: ms. */
  readonly wallOffsetMs: number;
  /** How late a timer may fire. Unit: ms. */
  readonly timerLateMsMax: number;
  /** A time service keeps the wall clock this close to true time, whatever else is done to it. Unit: ms. */
  readonly wallErrorMsMax?: number | undefined;
}

/** 2026-01-01: where the wall clocks of all hosts begin, but for their offsets. */
const wallStartMs = Date.UTC(2026, 0, 1);

/** Delay of the timers that matter to what is checked by lateness: election timeouts, doubled. Unit: ms. */
const timerMsMax = 2500;

/** True time, as a wall clock without errors would show it. */
export function trueWallMs(world: World): number {
  return wallStartMs + world.nowMs();
}

/** An error that is reflected at the bound: it stays continuous, and never leaves [-most, most]. */
function within(error: number, most: number): number {
  const period = 4 * most;
  const at = (((error + most) % period) + period) % period;
  return (at <= 2 * most ? at : period - at) - most;
}

export class Host implements EventOwner {
  readonly name: string;
  readonly world: World;
  /** Of the process. 0: none has run yet. Odd and even alike: only equality counts. */
  life = 0;
  alive = false;
  /** The latest that its wall clock was ever seen to show. Unit: ms since 1970. */
  latestWallMs = 0;
  private readonly clocks: HostClocks;
  private rate: number;
  /** True time at which the rate was set, and what the clock showed then. */
  private ratedAt = 0;
  private shownMs = 0;
  /** Where the monotonic clock of this life begins: processes do not share it. */
  private lifeBaseMs = 1000;
  private timerLateMsMax: number;
  /** Of timers that were armed before it changed, and until when there may be some. */
  private lateMs = 0;
  private lateUntilMs = 0;
  private readonly prng: Prng;
  private wallStepMs = 0;
  private backlog: WorldEvent[] | undefined;
  private turn: (() => void)[] = [];
  private turnScheduled = false;

  constructor(world: World, name: string, number: number, clocks: HostClocks) {
    this.world = world;
    this.name = name;
    this.clocks = clocks;
    this.rate = clocks.rate;
    this.timerLateMsMax = clocks.timerLateMsMax;
    this.prng = world.stream(Stream.hosts + number);
  }

  /** A process begins; what is left of the one before is gone. */
  start(): void {
    this.life++;
    this.alive = true;
    this.lifeBaseMs = 1000 + Math.floor(this.prng.nextFloat() * 1_000_000) - this.elapsedMs();
    this.backlog = undefined;
    this.turn = [];
    this.turnScheduled = false;
  }

  die(): void {
    this.life++;
    this.alive = false;
    this.turn = [];
    this.turnScheduled = false;
    if (this.backlog !== undefined) this.backlog = [];
  }

  stepWall(deltaMs: number): void {
    this.wallStepMs += deltaMs;
  }

  get isPaused(): boolean {
    return this.backlog !== undefined;
  }

  /** SIGSTOP: time goes on, nothing runs. */
  pause(): void {
    this.backlog ??= [];
  }

  /**
   * SIGCONT: everything that came due meanwhile happens now.
   * @param timersFirst the process was stopped inside a callback: expired timers run before sockets are read
   */
  resume(timersFirst: boolean): void {
    const waiting = this.backlog ?? [];
    this.backlog = undefined;
    const rank = (event: WorldEvent): number => ((event.kind === 'timer') === timersFirst ? 0 : 1);
    const ordered = [...waiting].sort(
      (a, b) => rank(a) - rank(b) || a.at - b.at || a.sequence - b.sequence,
    );
    for (const event of ordered) {
      if (event.cancelled) continue;
      // The process may still cancel it: by the handle that it has.
      this.world.after(0, {
        kind: event.kind,
        owner: this,
        life: event.life,
        digest: event.digest,
        run: () => {
          if (!event.cancelled) event.run();
        },
      });
    }
  }

  claim(event: WorldEvent): 'run' | 'drop' | 'keep' {
    if (event.life !== this.life) return 'drop';
    if (this.backlog === undefined) return 'run';
    this.backlog.push(event);
    return 'keep';
  }

  /** Something from outside reaches the process: a frame, the end of a disk call. */
  deliver(
    kind: 'frame' | 'disk',
    run: () => void,
    options: { delayMs?: number; digest?: number } = {},
  ): void {
    this.world.after(options.delayMs ?? 0, {
      kind,
      owner: this,
      life: this.life,
      digest: options.digest ?? 0,
      run,
    });
  }

  /** Monotonic. Unit: ms. */
  nowMs(): number {
    return this.lifeBaseMs + this.elapsedMs();
  }

  /** Unit: ms since 1970. */
  wallMs(): number {
    const wallMs = this.readWallMs();
    this.latestWallMs = Math.max(this.latestWallMs, wallMs);
    return wallMs;
  }

  private readWallMs(): number {
    const { wallOffsetMs, wallErrorMsMax } = this.clocks;
    const elapsed = this.elapsedMs();
    const offset = wallOffsetMs + this.wallStepMs;
    if (wallErrorMsMax === undefined) return Math.floor(wallStartMs + offset + elapsed);
    const now = this.world.nowMs();
    return Math.floor(wallStartMs + now + within(offset + elapsed - now, wallErrorMsMax));
  }

  /** The clocks run at this speed from now on. */
  setRate(rate: number): void {
    this.shownMs = this.elapsedMs();
    this.ratedAt = this.world.nowMs();
    this.rate = rate;
  }

  /** The most that a timer is late that comes due now: those that were armed in a bad time stay late. Unit: ms. */
  get timersLateMs(): number {
    return Math.max(this.timerLateMsMax, this.world.nowMs() < this.lateUntilMs ? this.lateMs : 0);
  }

  /** Timers that are armed from now on are this late at most; undefined: as usual. Unit: ms. */
  setTimerLateness(lateMsMax: number | undefined): void {
    this.lateMs = this.timersLateMs;
    this.lateUntilMs = this.world.nowMs() + this.lateMs + timerMsMax;
    this.timerLateMsMax = lateMsMax ?? this.clocks.timerLateMsMax;
  }

  /** By the speed of its clocks, since the beginning. Unit: ms. */
  private elapsedMs(): number {
    return this.shownMs + (this.world.nowMs() - this.ratedAt) * this.rate;
  }

  /** Of the process that lives now. */
  clock(): Clock {
    const { world } = this;
    const life = this.life;
    return {
      nowMs: () => this.nowMs(),
      wallMs: () => this.wallMs(),
      setTimer: (delayMs, callback): Timer => {
        const late = this.prng.nextFloat() * this.timerLateMsMax;
        return cancelling(
          world.after(Math.max(0, delayMs) / this.rate + late, {
            kind: 'timer',
            owner: this,
            life,
            run: callback,
          }),
        );
      },
      afterTurn: (callback) => {
        if (life === this.life) this.afterTurn(callback);
      },
    };
  }

  /** Of its disk: calls take true time and end in the process's loop. */
  deviceClock(): Clock {
    const { world } = this;
    return {
      nowMs: () => world.nowMs(),
      wallMs: () => Math.floor(world.nowMs()),
      setTimer: (delayMs, run): Timer =>
        cancelling(world.after(delayMs, { kind: 'disk', owner: this, life: this.life, run })),
      afterTurn: (run) => this.afterTurn(run),
    };
  }

  private afterTurn(callback: () => void): void {
    this.turn.push(callback);
    if (!this.turnScheduled) this.scheduleTurn(this.world.turnDelayMs());
  }

  private scheduleTurn(delayMs: number): void {
    this.turnScheduled = true;
    this.world.after(delayMs, {
      kind: 'turn',
      owner: this,
      life: this.life,
      run: () => {
        const due = this.turn;
        this.turn = [];
        this.turnScheduled = false;
        this.runTurn(due, 0);
      },
    });
  }

  /** One callback per event, as Node runs promise jobs between two immediates. */
  private runTurn(due: readonly (() => void)[], next: number): void {
    if (next + 1 < due.length)
      this.world.after(0, {
        kind: 'turn',
        owner: this,
        life: this.life,
        run: () => this.runTurn(due, next + 1),
      });
    due[next]?.();
  }
}
