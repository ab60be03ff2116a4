/**
 * The real `Transport`: core NATS, at most once. Subscriptions are per process. Snapshots (`bulk`) travel on a second
 * connection, opened when the first bulk address is used, so that their large frames do not hold up consensus.
 */
import {
  type Address,
  addressKey,
  assert,
  ClosingSteps,
  DbError,
  type FrameHandler,
  frameBytesMax,
  type Listener,
  type Logger,
  NodeDisk,
  silentLogger,
  type Transport,
} from '@flotilla/base';
import { createInbox, type Msg } from '@nats-io/transport-node';
import {
  checkCredentials,
  credentialsOf,
  type NatsCredentials,
  readCredentials,
} from './credentials.ts';
import { NatsLink, type NatsLinkOptions } from './nats-link.ts';
import { addressOfHint, hintSubjectOf, isClusterName, subjectOf } from './subjects.ts';

export interface NatsOptions extends NatsCredentials {
  /** `nats://host:port` or `host:port`; more than one for a NATS cluster. */
  readonly servers: readonly string[];
  /** Name of the Flotilla cluster: the second token of every subject. Letters, digits, `_`, `-`. */
  readonly cluster: string;
  /** Name of this process, for the server's monitoring. */
  readonly name: string;
  readonly logger?: Logger;
  /** Give up when no server has answered for this long. Default: try for ever. */
  readonly firstConnectTimeoutMs?: number;
  /** TLS, if the server does not want it anyway: certificates as PEM or as names of files; {} = what the system trusts. */
  readonly tls?: NatsLinkOptions['tls'];
}

interface Route {
  readonly subject: string;
  readonly options: { reply: string };
}

const clientRoutesMax = 4096;

/**
 * Connects to NATS.
 * @throws DbError UNAVAILABLE when `firstConnectTimeoutMs` passes; INVALID_ARGUMENT for a bad cluster name, credentials that
 * are none, or a server whose `max_payload` is below `frameBytesMax`, and, with `firstConnectTimeoutMs`, as soon as a server
 * refuses the credentials or TLS fails. Without it those are tried again for ever.
 */
export async function connectNats(options: NatsOptions): Promise<Transport> {
  if (!isClusterName(options.cluster))
    throw new DbError('INVALID_ARGUMENT', 'a cluster name has 1 to 64 letters, digits, _ or -');
  if (options.servers.length === 0)
    throw new DbError('INVALID_ARGUMENT', 'at least one NATS server must be named');
  checkCredentials(options);
  const { credentialsFile } = options;
  if (credentialsFile !== undefined) await readCredentials(new NodeDisk(), credentialsFile);
  const transport = new NatsTransport(options);
  const closing = new ClosingSteps();
  closing.add(() => transport.close());
  try {
    await transport.start();
  } catch (error) {
    return closing.runAfter(error);
  }
  return transport;
}

class NatsTransport implements Transport {
  private readonly options: NatsOptions;
  private readonly logger: Logger;
  private readonly main: NatsLink;
  private bulk: NatsLink | undefined;
  private readonly mainInbox = createInbox();
  private readonly bulkInbox = createInbox();
  private readonly storeRoutes = {
    raft: new Map<number, Route>(),
    kv: new Map<number, Route>(),
    bulk: new Map<number, Route>(),
  };
  private readonly clientRoutes = new Map<string, Route>();
  private readonly allStores: Route;
  private readonly listening = new Set<string>();
  private readonly unreachableHandlers = new Set<(to: Address) => void>();
  private readonly connectionHandlers = new Set<(connected: boolean) => void>();
  private isClosed = false;

  constructor(options: NatsOptions) {
    this.options = options;
    this.logger = options.logger ?? silentLogger;
    this.allStores = this.route({ kind: 'all-stores' }, this.mainInbox);
    this.main = this.newLink('', (connected) => {
      for (const handler of [...this.connectionHandlers]) handler(connected);
    });
    this.subscribeHints(this.main, this.mainInbox);
  }

  start(): Promise<void> {
    return this.main.start();
  }

  get connected(): boolean {
    return this.main.connected;
  }

  send(to: Address, frame: Uint8Array): void {
    if (this.isClosed) return;
    const route = this.routeOf(to);
    const link = to.kind === 'store' && to.channel === 'bulk' ? this.bulkLink() : this.main;
    link.publish(route.subject, frame, route.options);
  }

  listen(at: Address, handler: FrameHandler): Listener {
    assert(!this.isClosed, 'transport is open');
    const key = addressKey(at);
    assert(!this.listening.has(key), 'one listener per address and process', { key });
    this.listening.add(key);
    const link = at.kind === 'store' && at.channel === 'bulk' ? this.bulkLink() : this.main;
    const inner = link.subscribe(subjectOf(this.options.cluster, at), handler);
    return {
      close: () => {
        inner.close();
        this.listening.delete(key);
      },
    };
  }

  onUnreachable(handler: (to: Address) => void): Listener {
    this.unreachableHandlers.add(handler);
    return { close: () => void this.unreachableHandlers.delete(handler) };
  }

  onConnection(handler: (connected: boolean) => void): Listener {
    this.connectionHandlers.add(handler);
    return { close: () => void this.connectionHandlers.delete(handler) };
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    await Promise.all([this.main.close(), this.bulk?.close()]);
    this.connectionHandlers.clear();
    this.unreachableHandlers.clear();
  }

  private newLink(suffix: string, onConnection: (connected: boolean) => void): NatsLink {
    const { servers, name, firstConnectTimeoutMs, tls } = this.options;
    return new NatsLink({
      servers,
      name: `${name}${suffix}`,
      logger: suffix === '' ? this.logger : this.logger.child({ connection: suffix.slice(1) }),
      payloadBytesMin: frameBytesMax,
      onConnection,
      ...(firstConnectTimeoutMs === undefined || suffix !== '' ? {} : { firstConnectTimeoutMs }),
      ...credentialsOf(this.options),
      ...(tls === undefined ? {} : { tls }),
    });
  }

  private bulkLink(): NatsLink {
    if (this.bulk !== undefined) return this.bulk;
    const link = this.newLink('-bulk', () => {});
    this.bulk = link;
    this.subscribeHints(link, this.bulkInbox);
    link.start().catch((error: unknown) => {
      // Closed while dialling, or a server whose limit is too small, which the link has logged.
      this.logger.debug({ error: String(error) }, 'nats_bulk_not_connected');
    });
    return link;
  }

  private subscribeHints(link: NatsLink, inbox: string): void {
    link.subscribe(`${inbox}.>`, (data: Uint8Array, message: Msg) => {
      if (data.length !== 0 || message.headers?.code !== 503) return;
      const to = addressOfHint(inbox, message.subject);
      if (to === undefined) return;
      for (const handler of [...this.unreachableHandlers]) handler(to);
    });
  }

  private route(to: Address, inbox: string): Route {
    return {
      subject: subjectOf(this.options.cluster, to),
      options: { reply: hintSubjectOf(inbox, to) },
    };
  }

  private routeOf(to: Address): Route {
    switch (to.kind) {
      case 'store': {
        const routes = this.storeRoutes[to.channel];
        let route = routes.get(to.storeId);
        if (route === undefined) {
          route = this.route(to, to.channel === 'bulk' ? this.bulkInbox : this.mainInbox);
          routes.set(to.storeId, route);
        }
        return route;
      }
      case 'client': {
        let route = this.clientRoutes.get(to.clientId);
        if (route === undefined) {
          if (this.clientRoutes.size >= clientRoutesMax) this.clientRoutes.clear();
          route = this.route(to, this.mainInbox);
          this.clientRoutes.set(to.clientId, route);
        }
        return route;
      }
      case 'all-stores':
        return this.allStores;
    }
  }
}
