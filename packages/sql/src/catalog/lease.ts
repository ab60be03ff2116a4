/**
 * Spares statements the read of the catalog's version. All leases are in one row: who may rely on the version, and until
 * when, in the time of snapshots and commits. A process takes and renews its lease by comparing and setting that row, in a
 * serializable transaction that reads the version too. What rests on the lease is bound by it: no snapshot is read and no
 * commit made at a later timestamp, and stores refuse a commit that would be.
 *
 * Who changes the catalog locks the row in the transaction of the change, asks those in the row to give their leases up, and
 * waits until each has said so or its lease is over by more than clocks may differ. The row is written with the change, so
 * a lease that was taken in between makes the change conflict, and one that comes later is of the new version. A process that
 * alone runs statements waits for nobody. See docs/adr/0011-catalog-lease.md.
 */
import { type Clock, DbError, type Logger, type Prng, type Timer } from '@flotilla/base';
import type { Peers } from '../cluster/peers.ts';
import type { KvDatabase, KvTransaction } from '../kv-transaction.ts';
import { catalogLease } from '../limits.ts';
import { Grant, later } from './grant.ts';
import { catalogLeasesKey, catalogVersionKey, decodeCounter } from './keys.ts';
import { decodeLeases, encodeLeases, type Lease } from './lease-table.ts';

export interface CatalogLeaseOptions {
  readonly database: KvDatabase;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly logger: Logger;
  /** Undefined: nobody is asked to give way; leases are waited for. */
  readonly peers: Peers | undefined;
  /** The version that is the newest now. */
  readonly onVersion: (version: number) => void;
}

/** A change that nobody relies on the catalog against. */
export interface Clearing {
  /** The change was made, and this is the version since. */
  done(version: number): void;
  /** It was not made, or nobody knows. */
  end(): void;
}

/** What came of asking for a lease. `conflict`: others wrote the row at the same time. */
type Taken = 'had' | 'conflict' | 'not had';

const topic = 'catalog-lease';
const { lastsMs, renewMs, idleMs, askMs, retryMs, reachRunsMax, offsetMs } = catalogLease;

export class CatalogLease {
  private readonly options: CatalogLeaseOptions;
  private readonly id: string;
  private readonly unlisten: (() => void) | undefined;
  private grant: Grant | undefined;
  /** Resolves when no commit is under way that rests on earlier grants. */
  private closing: Promise<void> = Promise.resolve();
  /** Counts up when what is being asked for is not wanted any more. */
  private epoch = 0;
  /** Changes that this process is making. */
  private changing = 0;
  private taking: Promise<Taken> | undefined;
  /** Called when the grant is given up, and nobody is to wait for it any more. */
  private readonly onGivenUp = new Set<() => void>();
  private closed = false;
  private usedAtMs = 0;
  private notBeforeMs = 0;
  private timer: Timer | undefined;
  private lastToken = 0;
  /** What is done when somebody has given way, by token. */
  private readonly answers = new Map<string, (from: string) => void>();

  constructor(options: CatalogLeaseOptions) {
    const { peers, prng } = options;
    this.options = options;
    this.id = peers?.id ?? `${prng.nextUint32().toString(36)}${prng.nextUint32().toString(36)}`;
    this.unlisten = peers?.listen(topic, (from, payload) => this.onMessage(from, payload));
  }

  /** What says which version is the newest; undefined: it has to be read. Asks for a lease where there is none. */
  current(): Grant | undefined {
    const { grant, options } = this;
    this.usedAtMs = options.clock.nowMs();
    if (grant !== undefined && options.database.now() <= grant.timestamp) return grant;
    if (this.taking === undefined && this.usedAtMs >= this.notBeforeMs) void this.take();
    return undefined;
  }

  /**
   * Before a change of the catalog commits. The row of leases is locked by the transaction from then on, and written by it.
   * Errors: those of KvTransaction.get with a lock.
   */
  async clear(transaction: KvTransaction): Promise<Clearing> {
    const { database } = this.options;
    this.changing++;
    try {
      await this.giveUp();
      const row = await transaction.get(catalogLeasesKey, { lock: 'exclusive', beside: true });
      await this.othersGone(decodeLeases(row).filter(({ id }) => id !== this.id));
      const until = later(database.now(), lastsMs);
      const { epoch } = this;
      transaction.put(catalogLeasesKey, encodeLeases([{ id: this.id, until }]));
      return {
        done: (version) => {
          this.changing--;
          // Somebody else has been told since that there is no grant here, or is about to rely on it.
          if (epoch === this.epoch && this.changing === 0) this.adopt(version, until);
        },
        end: () => {
          this.changing--;
        },
      };
    } catch (error) {
      this.changing--;
      throw error;
    }
  }

  /** Gives the lease up, and takes it out of the row, so that nobody asks a process that is gone. */
  async close(): Promise<void> {
    this.closed = true;
    const held = this.grant !== undefined;
    await this.giveUp();
    this.unlisten?.();
    if (!held) return;
    const transaction = this.options.database.begin();
    try {
      const leases = decodeLeases(await transaction.get(catalogLeasesKey));
      transaction.put(catalogLeasesKey, encodeLeases(leases.filter(({ id }) => id !== this.id)));
      await transaction.commit();
    } catch (error) {
      // Then it is waited for, which is not long.
      this.options.logger.debug({ error: String(error) }, 'catalog_lease_left_behind');
    }
  }

  /** Resolves when nothing rests on the lease, whatever the row says. */
  private giveUp(): Promise<void> {
    const { grant } = this;
    const { database, clock } = this.options;
    this.epoch++;
    this.grant = undefined;
    for (const wake of this.onGivenUp) wake();
    this.timer?.cancel();
    if (grant !== undefined) {
      const closing = grant.close(database.now(), clock, offsetMs);
      this.closing = Promise.all([this.closing, closing]).then(() => undefined);
    }
    return this.closing;
  }

  /** In the background, one at a time. What fails is tried again when a statement asks. */
  private take(): Promise<Taken> {
    if (this.closed || this.changing > 0) return Promise.resolve('not had');
    this.taking ??= this.takeOnce()
      .then(
        (): Taken => 'had',
        (error: unknown): Taken => {
          const { clock, logger, prng } = this.options;
          this.notBeforeMs = clock.nowMs() + retryMs * (0.5 + prng.nextFloat());
          const isUsual = error instanceof DbError && error.code === 'CONFLICT';
          if (!isUsual) logger.warn({ error: String(error) }, 'catalog_lease_not_had');
          this.renewLater(retryMs);
          return isUsual ? 'conflict' : 'not had';
        },
      )
      .finally(() => {
        this.taking = undefined;
      });
    return this.taking;
  }

  /**
   * Somebody who relies on the grant was slow, and is at a later moment by now: renews it, again where others wrote the row
   * meanwhile. Not beyond its being given up: the catalog is being changed then.
   */
  private async reach(version: number, timestamp: number): Promise<void> {
    const { epoch } = this;
    let wake = (): void => {};
    const givenUp = new Promise<'not had'>((resolve) => {
      wake = () => resolve('not had');
    });
    this.onGivenUp.add(wake);
    const needed = (): boolean =>
      epoch === this.epoch && this.grant?.version === version && this.grant.timestamp < timestamp;
    try {
      for (let run = 1; needed() && run <= reachRunsMax; run++) {
        const isJoined = this.taking !== undefined;
        const taken = await Promise.race([this.take(), givenUp]);
        // One that was under way was asked for before the moment, perhaps. Any other one that does not reach it never will.
        if (taken === 'not had' || (taken === 'had' && !isJoined)) return;
        if (taken === 'conflict') await Promise.race([this.pause(), givenUp]);
      }
    } finally {
      this.onGivenUp.delete(wake);
    }
  }

  private pause(): Promise<void> {
    const { clock, prng } = this.options;
    return new Promise((resolve) => {
      clock.setTimer(retryMs * (0.5 + prng.nextFloat()), resolve);
    });
  }

  private async takeOnce(): Promise<void> {
    const { database } = this.options;
    const { epoch } = this;
    const asked = database.now();
    const until = later(asked, lastsMs);
    const transaction = database.begin();
    const [row, counter] = await transaction.getMany([catalogLeasesKey, catalogVersionKey]);
    const others = decodeLeases(row).filter((one) => one.id !== this.id && !isOver(one, asked));
    transaction.put(catalogLeasesKey, encodeLeases([...others, { id: this.id, until }]));
    await transaction.commit();
    if (epoch === this.epoch && this.changing === 0) this.adopt(decodeCounter(counter), until);
  }

  private adopt(version: number, until: number): void {
    if (this.grant?.version === version) this.grant.extend(until);
    else this.grant = new Grant(version, until, (timestamp) => this.reach(version, timestamp));
    this.options.onVersion(version);
    this.renewLater(renewMs);
  }

  /** For as long as statements ask; then it runs out. */
  private renewLater(ms: number): void {
    const { clock } = this.options;
    this.timer?.cancel();
    if (this.closed) return;
    this.timer = clock.setTimer(ms, () => {
      if (this.grant === undefined || this.taking !== undefined) return;
      if (!this.grant.isInUse && clock.nowMs() - this.usedAtMs > idleMs) return;
      void this.take();
    });
  }

  private async othersGone(leases: readonly Lease[]): Promise<void> {
    const { database, clock, peers } = this.options;
    const left = new Map(leases.map((one) => [one.id, one]));
    const forget = (): void => {
      const now = database.now();
      for (const one of left.values()) if (isOver(one, now)) left.delete(one.id);
    };
    forget();
    if (left.size === 0) return;
    const token = `${this.id} ${++this.lastToken}`;
    let wake = (): void => {};
    this.answers.set(token, (from) => {
      if (left.delete(from) && left.size === 0) wake();
    });
    try {
      while (left.size > 0) {
        for (const id of left.keys()) peers?.send(id, topic, encodeMessage('give up', token));
        await new Promise<void>((resolve) => {
          const timer = clock.setTimer(askMs, resolve);
          wake = () => {
            timer.cancel();
            resolve();
          };
        });
        forget();
      }
    } finally {
      this.answers.delete(token);
    }
  }

  private onMessage(from: string, payload: Uint8Array): void {
    const [word, token = ''] = Buffer.from(payload).toString('utf8').split('\n');
    if (word === 'given up') this.answers.get(token)?.(from);
    else if (word === 'give up')
      void this.giveUp().then(() =>
        this.options.peers?.send(from, topic, encodeMessage('given up', token)),
      );
  }
}

/** Whether nobody anywhere takes it for valid at `now`. */
function isOver({ until }: Lease, now: number): boolean {
  return later(until, offsetMs) < now;
}

function encodeMessage(word: 'give up' | 'given up', token: string): Uint8Array {
  return Buffer.from(`${word}\n${token}`, 'utf8');
}
