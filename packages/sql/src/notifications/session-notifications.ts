/**
 * LISTEN, UNLISTEN and NOTIFY of one session. All of them take effect when the transaction commits, in their order; what is
 * rolled back has never been said, and what is said twice in a transaction is heard once.
 */
import { initialDatabaseId } from '../catalog/role.ts';
import { notificationPayloadBytesMax, notificationsPendingMax } from '../limits.ts';
import type { Notification, TransactionScope } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { NotificationAccess } from './notification-access.ts';
import type { Listener, NotificationHub } from './notification-hub.ts';

/** Channels by their names in the cluster. */
type Action =
  | { readonly kind: 'notify'; readonly channel: string; readonly payload: string }
  | { readonly kind: 'listen'; readonly channel: string }
  /** Undefined: all. */
  | { readonly kind: 'unlisten'; readonly channel: string | undefined };

interface Pending {
  readonly action: Action;
  /** The transaction or savepoint that it was said in. */
  readonly scope: TransactionScope | undefined;
}

const channelBytesMax = 63;

export interface SessionNotificationsOptions {
  readonly hub: NotificationHub;
  readonly processId: number;
  /** What its channels are called by in the cluster: those of other databases are others. Throws 3D000. */
  readonly channelName: (channel: string) => string;
  readonly deliver: Listener;
  readonly scope: () => TransactionScope | undefined;
}

export class SessionNotifications implements NotificationAccess {
  private readonly options: SessionNotificationsOptions;
  private readonly channels = new Set<string>();
  private pending: Pending[] = [];
  /** By channel and payload, those of `pending`. */
  private readonly said = new Set<string>();
  private working: Promise<void> | undefined;
  private closed = false;
  private readonly listener: Listener = (notification) =>
    this.options.deliver({ ...notification, channel: ownName(notification.channel) });

  constructor(options: SessionNotificationsOptions) {
    this.options = options;
  }

  get isPending(): boolean {
    return this.pending.length > 0;
  }

  listening(): readonly string[] {
    return [...this.channels].map(ownName);
  }

  notify(written: string, payload: string): void {
    const channel = this.named(written);
    if (Buffer.byteLength(payload, 'utf8') >= notificationPayloadBytesMax)
      throw new SqlError('22023', 'payload string too long');
    const name = `${channel}\0${payload}`;
    if (this.said.has(name)) return;
    if (this.pending.length >= notificationsPendingMax)
      throw new SqlError('53400', 'too many notifications in the NOTIFY queue');
    this.said.add(name);
    this.add({ kind: 'notify', channel, payload });
  }

  /** Throws 22023. */
  listen(channel: string): void {
    this.add({ kind: 'listen', channel: this.named(channel) });
  }

  unlisten(channel: string | undefined): void {
    const name = channel === undefined ? undefined : this.options.channelName(channel);
    this.add({ kind: 'unlisten', channel: name });
  }

  private named(channel: string): string {
    checkChannel(channel);
    return this.options.channelName(channel);
  }

  /** A savepoint was rolled back to. */
  sweep(): void {
    if (this.pending.length === 0) return;
    this.pending = this.pending.filter(({ scope }) => scope?.ended !== true);
    this.said.clear();
    for (const { action } of this.pending)
      if (action.kind === 'notify') this.said.add(`${action.channel}\0${action.payload}`);
  }

  /** The transaction has ended, or the statement that stood alone. */
  end(committed: boolean): void {
    if (this.pending.length === 0) return;
    const actions = this.pending.map(({ action }) => action);
    this.pending = [];
    this.said.clear();
    if (!committed) return;
    const before = this.working;
    const work = (async () => {
      await before;
      await this.apply(actions);
    })();
    this.working = work;
    const done = (): void => {
      if (this.working === work) this.working = undefined;
    };
    work.then(done, done);
  }

  /** Resolves when what was committed has taken effect. Rejects with DbError: it does not listen. Undefined: it has. */
  settled(): Promise<void> | undefined {
    return this.working;
  }

  close(): void {
    this.closed = true;
    this.pending = [];
    this.unlistenNow(undefined);
  }

  private add(action: Action): void {
    this.pending.push({ action, scope: this.options.scope() });
  }

  private async apply(actions: readonly Action[]): Promise<void> {
    const { hub, processId } = this.options;
    const notifications: Notification[] = [];
    for (const action of actions)
      if (action.kind === 'listen') await this.listenNow(action.channel);
      else if (action.kind === 'unlisten') this.unlistenNow(action.channel);
      else notifications.push({ processId, channel: action.channel, payload: action.payload });
    if (notifications.length > 0) await hub.publish(notifications);
  }

  private async listenNow(channel: string): Promise<void> {
    if (this.channels.has(channel)) return;
    await this.options.hub.listen(channel, this.listener);
    if (this.closed) this.options.hub.unlisten(channel, this.listener);
    else this.channels.add(channel);
  }

  private unlistenNow(channel: string | undefined): void {
    for (const one of channel === undefined ? [...this.channels] : [channel]) {
      this.channels.delete(one);
      this.options.hub.unlisten(one, this.listener);
    }
  }
}

/** In the cluster a channel is called by its name, of another database than the initial one by the oid before that. */
export function channelName(channel: string, database: number): string {
  return database === initialDatabaseId ? channel : `${database}\0${channel}`;
}

function ownName(channel: string): string {
  return channel.slice(channel.indexOf('\0') + 1);
}

function checkChannel(channel: string): void {
  if (channel === '') throw new SqlError('22023', 'channel name cannot be empty');
  if (Buffer.byteLength(channel, 'utf8') > channelBytesMax)
    throw new SqlError('22023', 'channel name too long');
}
