/**
 * One connection to NATS that never gives up: it dials until somebody answers, reconnects for ever, and starts afresh
 * when the client library closes the connection for good. Knows subjects and bytes, not addresses. Nothing that is
 * published while the connection is away is kept: the library would send what it was given after its latest dial
 * began, so that old frames could arrive after the reconnect; hence nothing reaches it unless it is connected.
 */
import {
  DbError,
  type Disk,
  type Listener,
  type Logger,
  NodeDisk,
  osPrng,
  type Prng,
  SystemClock,
} from '@flotilla/base';
import {
  type Authenticator,
  connect,
  credsAuthenticator,
  type Msg,
  type NatsConnection,
  type NodeConnectionOptions,
} from '@nats-io/transport-node';
import {
  authenticatorOf,
  type NatsCredentials,
  readCredentials,
  refusalOf,
} from './credentials.ts';

export interface NatsLinkOptions extends NatsCredentials {
  readonly servers: readonly string[];
  /** Shown by the server's monitoring. */
  readonly name: string;
  readonly logger: Logger;
  /** Give up the first connection after this long. Default: never. Later ones are retried for ever. */
  readonly firstConnectTimeoutMs?: number;
  /** Smallest `max_payload` of a server that is good enough. Unit: bytes. */
  readonly payloadBytesMin: number;
  readonly tls?: NodeConnectionOptions['tls'];
  readonly onConnection: (connected: boolean) => void;
}

export type MessageHandler = (data: Uint8Array, message: Msg) => void;

/** A server that is silent for three of these is left. Unit: ms. */
const pingIntervalMs = 2000;
const dialTimeoutMs = 3000;
/** Published bytes that no server has confirmed yet; above it frames are dropped. The server's own limit is 64 MiB. */
const unconfirmedBytesMax = 64 * 1024 * 1024;
/** How often the server is asked to confirm. */
const confirmEveryBytes = 1024 * 1024;
const drainTimeoutMs = 2000;

interface LinkSubscription {
  readonly subject: string;
  readonly handler: MessageHandler;
  cancel: () => void;
}

export class NatsLink {
  private readonly options: NatsLinkOptions;
  private readonly logger: Logger;
  private readonly clock = new SystemClock();
  private readonly prng: Prng = osPrng();
  private readonly disk: Disk = new NodeDisk();
  /** Of the file, as it was read last. */
  private credentials: Uint8Array = new Uint8Array();
  private readonly subscriptions = new Set<LinkSubscription>();
  private connection: NatsConnection | undefined;
  private isConnected = false;
  private closing = false;
  private wakeDial: (() => void) | undefined;
  private sinceConfirm = 0;
  private unconfirmed = 0;
  /** Frames that were not published: no connection, above the server's limit, or too many on the way. */
  private dropCount = 0;
  private slowWarned = false;

  constructor(options: NatsLinkOptions) {
    this.options = options;
    this.logger = options.logger;
  }

  get connected(): boolean {
    return this.isConnected;
  }

  get dropped(): number {
    return this.dropCount;
  }

  /** Resolves when connected for the first time. Errors: UNAVAILABLE, INVALID_ARGUMENT, CLOSED. */
  async start(): Promise<void> {
    const { firstConnectTimeoutMs } = this.options;
    const until =
      firstConnectTimeoutMs === undefined ? undefined : this.clock.nowMs() + firstConnectTimeoutMs;
    const connection = await this.dial(until);
    if (this.closing) {
      await connection.close();
      throw new DbError('CLOSED', 'the transport was closed while it connected');
    }
    this.checkPayloadLimit(connection, true);
    this.adopt(connection);
    void this.stayConnected(connection);
  }

  publish(subject: string, data: Uint8Array, options: { reply: string }): void {
    const { connection } = this;
    if (!this.isConnected || connection === undefined) {
      this.dropCount++;
      return;
    }
    const limit = connection.info?.max_payload;
    if (limit !== undefined && data.length > limit) {
      this.dropCount++;
      this.logger.error({ bytes: data.length, limit, subject }, 'nats_payload_too_large');
      return;
    }
    if (this.unconfirmed > unconfirmedBytesMax) {
      this.dropCount++;
      this.warnSlow();
      return;
    }
    try {
      connection.publish(subject, data, options);
    } catch (error) {
      // Closing or closed underneath us: `closed()` tells the rest.
      this.dropCount++;
      this.logger.debug({ error: String(error), subject }, 'nats_publish_failed');
      return;
    }
    this.sinceConfirm += data.length;
    this.unconfirmed += data.length;
    if (this.sinceConfirm >= confirmEveryBytes) this.confirm(connection);
  }

  subscribe(subject: string, handler: MessageHandler): Listener {
    const subscription: LinkSubscription = { subject, handler, cancel: () => {} };
    this.subscriptions.add(subscription);
    if (this.connection !== undefined) this.install(this.connection, subscription);
    return {
      close: () => {
        if (this.subscriptions.delete(subscription)) subscription.cancel();
      },
    };
  }

  /** Sends what is queued if there is a connection, then closes for good. */
  async close(): Promise<void> {
    if (this.closing) return;
    this.closing = true;
    this.wakeDial?.();
    const { connection } = this;
    if (connection !== undefined) {
      if (this.isConnected) {
        // While the connection is away `drain` would wait for it to come back.
        const drained = connection.drain().catch((error: unknown) => {
          this.logger.debug({ error: String(error) }, 'nats_drain_failed');
        });
        await Promise.race([drained, this.pause(drainTimeoutMs)]);
      }
      await connection.close();
    }
    this.setConnected(false);
    this.subscriptions.clear();
  }

  private async dial(untilMs: number | undefined): Promise<NatsConnection> {
    for (let attempt = 1; ; attempt++) {
      if (this.closing) throw new DbError('CLOSED', 'the transport was closed while it connected');
      try {
        return await connect(await this.connectOptions());
      } catch (error) {
        const facts = { servers: this.options.servers, attempt, error: String(error) };
        const where = this.options.servers.join(', ');
        // Whoever waits for the first connection hears of a mistake at once. What was right before may be right again soon.
        const refusal = untilMs === undefined ? undefined : refusalOf(error);
        if (refusal !== undefined)
          throw new DbError('INVALID_ARGUMENT', `${refusal}: ${where}`, { cause: error });
        if (untilMs !== undefined && this.clock.nowMs() >= untilMs) {
          const reason = error instanceof Error ? error.message : String(error);
          throw new DbError('UNAVAILABLE', `no NATS server answers at ${where}: ${reason}`, {
            cause: error,
          });
        }
        // Every try at first, then one line in twenty, so that an outage does not fill the log.
        if (attempt <= 3 || attempt % 20 === 0)
          this.logger.warn(facts, 'nats_unreachable_retrying');
        await this.pause(this.waitMs() * Math.min(attempt, 5));
      }
    }
  }

  private async connectOptions(): Promise<NodeConnectionOptions> {
    const { user, password, token, tls } = this.options;
    const authenticator = await this.authenticator();
    return {
      servers: [...this.options.servers],
      name: this.options.name,
      maxReconnectAttempts: -1,
      reconnectDelayHandler: () => this.waitMs(),
      pingInterval: pingIntervalMs,
      maxPingOut: 2,
      timeout: dialTimeoutMs,
      // Permissions or passwords that are wrong for a moment (a reload) must not end the process's only connection.
      ignoreAuthErrorAbort: true,
      noAsyncTraces: true,
      ...(user === undefined ? {} : { user }),
      ...(password === undefined ? {} : { pass: password }),
      ...(token === undefined ? {} : { token }),
      ...(authenticator === undefined ? {} : { authenticator }),
      ...(tls === undefined ? {} : { tls }),
    };
  }

  private async authenticator(): Promise<Authenticator | undefined> {
    const { credentialsFile } = this.options;
    if (credentialsFile === undefined) return authenticatorOf(this.options);
    this.credentials = await readCredentials(this.disk, credentialsFile);
    return credsAuthenticator(() => {
      // If these are refused, the next try of the library has those that the file holds by then.
      this.refreshCredentials();
      return this.credentials;
    });
  }

  /** The library dials again by itself, and asks what it shall say then: the file may hold others by now. */
  private refreshCredentials(): void {
    const { credentialsFile } = this.options;
    if (credentialsFile === undefined) return;
    readCredentials(this.disk, credentialsFile).then(
      (bytes) => {
        this.credentials = bytes;
      },
      (error: unknown) => this.logger.warn({ error: String(error) }, 'nats_credentials_unreadable'),
    );
  }

  private waitMs(): number {
    return 50 + this.prng.nextFloat() * 150;
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.clock.setTimer(ms, resolve);
      this.wakeDial = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  private adopt(connection: NatsConnection): void {
    this.connection = connection;
    for (const subscription of this.subscriptions) this.install(connection, subscription);
    const server = connection.getServer();
    this.logger.info({ server, version: connection.info?.version }, 'nats_connected');
    void this.watch(connection);
    this.setConnected(true);
  }

  /** The library closes a connection for good only where it sees no sense in going on. We always do. */
  private async stayConnected(first: NatsConnection): Promise<void> {
    let connection = first;
    for (;;) {
      const reason = await connection.closed();
      this.setConnected(false);
      if (this.closing) return;
      this.logger.error({ reason: String(reason) }, 'nats_closed_dialling_again');
      try {
        connection = await this.dial(undefined);
      } catch {
        return; // only when closing
      }
      if (this.closing) {
        await connection.close();
        return;
      }
      this.checkPayloadLimit(connection, false);
      this.adopt(connection);
    }
  }

  private async watch(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      switch (status.type) {
        case 'disconnect':
          this.setConnected(false);
          this.refreshCredentials();
          this.logger.warn({ server: status.server }, 'nats_disconnected');
          break;
        case 'reconnect':
          this.checkPayloadLimit(connection, false);
          this.logger.info({ server: status.server }, 'nats_reconnected');
          this.setConnected(!connection.isClosed());
          break;
        case 'error':
          this.logger.error({ error: String(status.error) }, 'nats_error');
          break;
        case 'staleConnection':
          this.logger.warn({}, 'nats_server_silent');
          break;
        case 'ldm':
          this.logger.info({ server: status.server }, 'nats_server_shutting_down');
          break;
        default:
          break;
      }
    }
  }

  private install(connection: NatsConnection, subscription: LinkSubscription): void {
    const installed = connection.subscribe(subscription.subject, {
      callback: (error, message) => {
        if (error !== null) {
          // Only a permission refused by the server comes here.
          this.logger.error(
            { subject: subscription.subject, error: String(error) },
            'nats_subscription_refused',
          );
          return;
        }
        try {
          subscription.handler(message.data, message);
        } catch (thrown) {
          // A handler that throws is a bug and must end the process. Thrown here it would only end the library's
          // reader, silently.
          queueMicrotask(() => {
            throw thrown;
          });
        }
      },
    });
    subscription.cancel = () => {
      if (!connection.isClosed()) installed.unsubscribe();
    };
  }

  private setConnected(connected: boolean): void {
    if (this.isConnected === connected) return;
    this.isConnected = connected;
    this.sinceConfirm = 0;
    this.unconfirmed = 0;
    this.options.onConnection(connected);
  }

  private confirm(connection: NatsConnection): void {
    const bytes = this.sinceConfirm;
    this.sinceConfirm = 0;
    const settle = (): void => {
      this.unconfirmed = Math.max(0, this.unconfirmed - bytes);
      if (this.unconfirmed === 0) this.slowWarned = false;
    };
    connection.flush().then(settle, settle);
  }

  private warnSlow(): void {
    if (this.slowWarned) return;
    this.slowWarned = true;
    this.logger.warn({ unconfirmedBytes: this.unconfirmed }, 'nats_too_slow_dropping_frames');
  }

  private checkPayloadLimit(connection: NatsConnection, first: boolean): void {
    const limit = connection.info?.max_payload ?? 0;
    const needed = this.options.payloadBytesMin;
    if (limit >= needed) return;
    this.logger.error({ maxPayload: limit, needed }, 'nats_max_payload_too_small');
    if (!first) return;
    void connection.close();
    throw new DbError(
      'INVALID_ARGUMENT',
      `the NATS server's max_payload is ${limit} bytes; at least ${needed} are needed`,
    );
  }
}
