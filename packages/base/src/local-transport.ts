/**
 * A transport that keeps what a process sends to itself within the process: a gateway and a store that run together talk
 * without the network between them. Everything else, and what goes to all stores, takes the way of the transport below.
 * Such frames arrive when what runs has come to its end, before the next turn; in order; also while the network is
 * away. They are not copied: a frame's bytes must not change after it was sent.
 */
import {
  type Address,
  addressKey,
  type FrameHandler,
  type Listener,
  type Transport,
} from './transport.ts';

interface InFlight {
  readonly handler: FrameHandler;
  readonly key: string;
  readonly frame: Uint8Array;
}

export class LocalTransport implements Transport {
  private readonly below: Transport;
  private readonly handlers = new Map<string, FrameHandler>();
  private queue: InFlight[] = [];
  private isClosed = false;
  private readonly deliverDue = (): void => this.deliver();

  /** @param below of this process alone. Closed with this one. */
  constructor(below: Transport) {
    this.below = below;
  }

  get connected(): boolean {
    return this.below.connected;
  }

  send(to: Address, frame: Uint8Array): void {
    const key = addressKey(to);
    const handler = this.handlers.get(key);
    if (handler === undefined) {
      this.below.send(to, frame);
      return;
    }
    if (this.isClosed) return;
    this.queue.push({ handler, key, frame });
    if (this.queue.length === 1) queueMicrotask(this.deliverDue);
  }

  listen(at: Address, handler: FrameHandler): Listener {
    const inner = this.below.listen(at, handler);
    if (at.kind === 'all-stores') return inner; // others are to hear it too
    const key = addressKey(at);
    this.handlers.set(key, handler);
    return {
      close: () => {
        if (this.handlers.get(key) === handler) this.handlers.delete(key);
        inner.close();
      },
    };
  }

  onUnreachable(handler: (to: Address) => void): Listener {
    return this.below.onUnreachable(handler);
  }

  onConnection(handler: (connected: boolean) => void): Listener {
    return this.below.onConnection(handler);
  }

  async close(): Promise<void> {
    this.deliver();
    this.isClosed = true;
    await this.below.close();
  }

  private deliver(): void {
    const due = this.queue;
    this.queue = [];
    let next = 0;
    try {
      while (next < due.length) {
        const inFlight = due[next++];
        if (inFlight === undefined) break;
        const { handler, key, frame } = inFlight;
        if (this.handlers.get(key) === handler) handler(frame);
      }
    } finally {
      // A handler threw, which is a bug that must surface; the frames behind it are still delivered.
      if (next < due.length) {
        const rest = due.slice(next);
        if (this.queue.length === 0) queueMicrotask(this.deliverDue);
        this.queue = [...rest, ...this.queue];
      }
    }
  }
}
