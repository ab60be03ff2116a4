/**
 * A process's end of the network: what arrives waits for the process's loop. Adds what a real connection does besides
 * losing things: messages sent while it is down may leave late, and a message may come once more, much later.
 */
import {
  type Address,
  crc32c,
  type FrameHandler,
  type Listener,
  type MemoryNetwork,
  type MemoryTransport,
  type Prng,
  type Transport,
} from '@flotilla/base';
import type { Host } from './host.ts';

export interface ReplayFaults {
  readonly probability: number;
  readonly delayMsMax: number;
}

/** Frames kept while disconnected. */
const bufferedFramesMax = 256;

export class HostTransport implements Transport {
  private readonly host: Host;
  private readonly inner: MemoryTransport;
  private readonly prng: Prng;
  private readonly replay: () => ReplayFaults | undefined;
  private readonly onSend: ((to: Address, frame: Uint8Array) => void) | undefined;
  private buffered: { readonly to: Address; readonly frame: Uint8Array }[] | undefined;

  constructor(options: {
    readonly host: Host;
    readonly network: MemoryNetwork;
    readonly prng: Prng;
    readonly replay: () => ReplayFaults | undefined;
    /** Hears what this process sends, before anything happens to it. */
    readonly onSend?: (to: Address, frame: Uint8Array) => void;
  }) {
    this.host = options.host;
    this.prng = options.prng;
    this.replay = options.replay;
    this.onSend = options.onSend;
    this.inner = options.network.connect(options.host.name);
  }

  get connected(): boolean {
    return this.inner.connected;
  }

  /** While disconnected from now on: keeps what is sent, and sends it at reconnection. */
  keepWhileDisconnected(): void {
    this.buffered ??= [];
  }

  /** Sends what was kept. */
  releaseKept(): void {
    const kept = this.buffered ?? [];
    this.buffered = undefined;
    for (const { to, frame } of kept) this.inner.send(to, frame);
  }

  send(to: Address, frame: Uint8Array): void {
    this.onSend?.(to, frame);
    if (!this.inner.connected) {
      if (this.buffered !== undefined && this.buffered.length < bufferedFramesMax)
        this.buffered.push({ to, frame: frame.slice() });
      return;
    }
    this.inner.send(to, frame);
    const replay = this.replay();
    if (replay === undefined || this.prng.nextFloat() >= replay.probability) return;
    const again = frame.slice();
    const { world } = this.host;
    const delayMs = this.prng.nextFloat() * replay.delayMsMax;
    world.lastReplayMs = Math.max(world.lastReplayMs, world.nowMs() + delayMs);
    world.after(delayMs, {
      kind: 'world',
      digest: crc32c(again),
      run: () => this.inner.send(to, again),
    });
  }

  listen(at: Address, handler: FrameHandler): Listener {
    const { host } = this;
    let open = true;
    const listener = this.inner.listen(at, (frame) => {
      const digest = crc32c(frame);
      host.deliver('frame', () => open && handler(frame), { digest });
    });
    return {
      close: () => {
        open = false;
        listener.close();
      },
    };
  }

  onUnreachable(handler: (to: Address) => void): Listener {
    return this.inner.onUnreachable((to) => this.host.deliver('frame', () => handler(to)));
  }

  onConnection(handler: (connected: boolean) => void): Listener {
    return this.inner.onConnection((connected) =>
      this.host.deliver('frame', () => handler(connected)),
    );
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}
