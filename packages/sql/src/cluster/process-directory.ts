/**
 * The processes that have sessions, by number: each claims a row `03 "sql/session-host/" number (u16)` with the id that its peers
 * send to, and renews it now and then. Process ids of a gateway's sessions carry its number, so that any process finds the one
 * that has a session. A row that nobody renews is free after a while; nothing rests on that but messages that go nowhere.
 */
import {
  type Clock,
  concatBytes,
  DbError,
  type Logger,
  type Prng,
  prefixSpan,
  systemPrefix,
  type Timer,
} from '@flotilla/base';
import type { KvDatabase } from '../kv-transaction.ts';
import { conflictRunsMax, sessionHosts } from '../limits.ts';
import type { Peers } from './peers.ts';

const prefix = concatBytes(systemPrefix, Buffer.from('sql/session-host/', 'utf8'));
const format = 1;

interface Host {
  readonly peer: string;
  /** Since 1970; by clocks that may be apart. */
  readonly untilMs: number;
}

export interface DirectoryOptions {
  readonly database: KvDatabase;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly logger: Logger;
  /** Undefined: this process is alone. */
  readonly peers: Peers | undefined;
}

export class ProcessDirectory {
  private readonly options: DirectoryOptions;
  private claimed: number | undefined;
  private claiming: Promise<number> | undefined;
  private renewal: Timer | undefined;

  constructor(options: DirectoryOptions) {
    this.options = options;
  }

  /** The number of this process; undefined: it has not joined. */
  get number(): number | undefined {
    return this.claimed;
  }

  /** From now on others find this process. @returns its number, in [0, 1023]. Throws DbError. */
  join(): Promise<number> {
    if (this.claimed !== undefined) return Promise.resolve(this.claimed);
    this.claiming ??= this.claim().finally(() => {
      this.claiming = undefined;
    });
    return this.claiming;
  }

  /** Where to send for the other processes. Throws DbError. */
  async others(): Promise<readonly string[]> {
    const { peers, database, clock } = this.options;
    if (peers === undefined) return [];
    const found = new Set<string>();
    const transaction = database.begin({ readOnly: true });
    const now = clock.wallMs();
    for await (const pairs of transaction.scan(prefixSpan(prefix)))
      for (const { value } of pairs) {
        const host = decode(value);
        if (host !== undefined && host.untilMs > now && host.peer !== peers.id)
          found.add(host.peer);
      }
    transaction.rollback();
    return [...found];
  }

  /** Where to send for the process of that number; undefined: there is none. Throws DbError. */
  async peerOf(number: number): Promise<string | undefined> {
    const transaction = this.options.database.begin({ readOnly: true });
    const row = await transaction.get(keyOf(number));
    transaction.rollback();
    return row === undefined ? undefined : decode(row)?.peer;
  }

  /** Others need not look for this process any more. Throws DbError. */
  async leave(): Promise<void> {
    const { claimed } = this;
    this.renewal?.cancel();
    this.claimed = undefined;
    if (claimed === undefined) return;
    const transaction = this.options.database.begin();
    transaction.delete(keyOf(claimed));
    await transaction.commit();
  }

  private async claim(): Promise<number> {
    const { prng, peers } = this.options;
    for (let run = 1; ; run++) {
      const number = prng.nextBelow(sessionHosts.max);
      if (peers === undefined) return number; // there is nobody to be found by
      try {
        if (await this.write(number, true)) {
          this.claimed = number;
          this.renewLater(number);
          return number;
        }
      } catch (error) {
        const conflict = error instanceof DbError && error.code === 'CONFLICT';
        if (!conflict || run >= conflictRunsMax) throw error;
      }
      if (run >= sessionHosts.max) throw new DbError('BUSY', 'all numbers of processes are taken');
    }
  }

  private async write(number: number, first: boolean): Promise<boolean> {
    const { database, clock, peers } = this.options;
    const key = keyOf(number);
    const transaction = database.begin();
    const row = await transaction.get(key);
    const host = row === undefined ? undefined : decode(row);
    const now = clock.wallMs();
    if (first && host !== undefined && host.untilMs > now && host.peer !== peers?.id) {
      transaction.rollback();
      return false;
    }
    transaction.put(key, encode({ peer: peers?.id ?? '', untilMs: now + sessionHosts.lastsMs }));
    await transaction.commit();
    return true;
  }

  private renewLater(number: number): void {
    const { clock, logger } = this.options;
    this.renewal = clock.setTimer(sessionHosts.renewMs, () => {
      if (this.claimed !== number) return;
      this.write(number, false).then(
        () => this.renewLater(number),
        (error: unknown) => {
          logger.warn({ error: String(error) }, 'sql_session_host_not_renewed');
          this.renewLater(number);
        },
      );
    });
  }
}

function keyOf(number: number): Uint8Array {
  return concatBytes(prefix, Uint8Array.of(number >>> 8, number & 0xff));
}

function encode(host: Host): Uint8Array {
  return Buffer.from(JSON.stringify({ format, ...host }), 'utf8');
}

/** Undefined: it is of no known format, and nobody that could be sent to. */
function decode(bytes: Uint8Array): Host | undefined {
  try {
    const row = JSON.parse(Buffer.from(bytes).toString('utf8')) as Partial<
      Host & { format: number }
    >;
    const { peer, untilMs } = row;
    if (row.format !== format || typeof peer !== 'string' || typeof untilMs !== 'number')
      return undefined;
    return { peer, untilMs };
  } catch {
    return undefined;
  }
}
