/**
 * LISTEN and NOTIFY of one engine: hands what a committed transaction has said to the sessions here that listen, and sends it to
 * all other processes that have sessions, at most once. Who listens is in memory; a process that listens is in the directory.
 */
import { DbError, type Logger } from '@flotilla/base';
import type { Peers } from '../cluster/peers.ts';
import type { ProcessDirectory } from '../cluster/process-directory.ts';
import { notificationPayloadBytesMax } from '../limits.ts';
import type { Notification } from '../session-api.ts';

export type Listener = (notification: Notification) => void;

const topic = 'notify';

export interface HubOptions {
  readonly peers: Peers | undefined;
  readonly directory: ProcessDirectory;
  readonly logger: Logger;
}

export class NotificationHub {
  private readonly options: HubOptions;
  private readonly listeners = new Map<string, Set<Listener>>();
  private others: readonly string[] = [];

  constructor(options: HubOptions) {
    this.options = options;
    options.peers?.listen(topic, (_from, payload) => this.receive(payload));
  }

  /** Whatever is committed from now on is heard, wherever. Throws DbError. */
  async listen(channel: string, listener: Listener): Promise<void> {
    if (this.options.peers !== undefined) await this.options.directory.join();
    const there = this.listeners.get(channel);
    if (there === undefined) this.listeners.set(channel, new Set([listener]));
    else there.add(listener);
  }

  unlisten(channel: string, listener: Listener): void {
    const there = this.listeners.get(channel);
    if (there?.delete(listener) === true && there.size === 0) this.listeners.delete(channel);
  }

  /** Never rejects: the transaction has been committed. Others get it in this order. */
  async publish(notifications: readonly Notification[]): Promise<void> {
    const { directory, peers, logger } = this.options;
    try {
      this.others = await directory.others();
    } catch (error) {
      // Those that were known last are told at least.
      if (!(error instanceof DbError)) throw error;
      logger.warn({ code: error.code }, 'sql_listeners_not_read');
    }
    for (const notification of notifications) {
      const payload = Buffer.from(JSON.stringify(notification), 'utf8');
      for (const other of this.others) peers?.send(other, topic, payload);
      this.deliver(notification);
    }
  }

  private receive(payload: Uint8Array): void {
    const notification = decode(payload);
    if (notification === undefined)
      this.options.logger.warn({ bytes: payload.length }, 'sql_notification_refused');
    else this.deliver(notification);
  }

  private deliver(notification: Notification): void {
    for (const listener of this.listeners.get(notification.channel) ?? []) listener(notification);
  }
}

/** Undefined: it is none. */
function decode(bytes: Uint8Array): Notification | undefined {
  try {
    const { processId, channel, payload } = JSON.parse(
      Buffer.from(bytes).toString('utf8'),
    ) as Partial<Notification>;
    if (typeof channel !== 'string' || typeof payload !== 'string') return undefined;
    if (!Number.isSafeInteger(processId) || payload.length > notificationPayloadBytesMax)
      return undefined;
    return { processId: processId ?? 0, channel, payload };
  } catch {
    return undefined;
  }
}
