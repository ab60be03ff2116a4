/**
 * One socket: bytes in, bytes out, and the clock's eye on both. Keeps memory bounded when the client does not read,
 * drops it when it stalls, and sees it out politely at the end. Knows no protocol.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Clock, Timer } from '@flotilla/base';
import { FrameBuffer } from './frame-buffer.ts';
import type { GatewayLimits } from './limits.ts';
import { OutputBuffer } from './messages/output-buffer.ts';
import { ClientGone } from './session/client-link.ts';
import type { TlsUpgrader } from './tls.ts';

/** A single write is not larger than this, so that a slow reader's progress can be seen. */
const writeBytesMax = 256 * 1024;

export interface PeerEvents {
  /** Bytes have been added to `input`. */
  onData(): void;
  /** The client will send nothing more. */
  onEnd(): void;
  /** What had been waiting in the socket has left; only after `blocked` was true. */
  onDrain(): void;
  /** The socket is closed. The last event. */
  onClosed(): void;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class Peer {
  readonly input: FrameBuffer = new FrameBuffer();
  readonly output: OutputBuffer = new OutputBuffer();
  readonly address: string;
  readonly port: number;
  private socket: Socket;
  private readonly clock: Clock;
  private readonly limits: GatewayLimits;
  private readonly events: PeerEvents;
  /** `closing`: we have said all we will say and discard what comes. */
  private state: 'open' | 'closing' | 'closed' = 'open';
  private waiter: Waiter | undefined;
  private writeTimer: Timer | undefined;
  private readTimer: Timer | undefined;
  private lingerTimer: Timer | undefined;
  private turnBytes = 0;
  /** A message is being sent in pieces: nothing may come between them. */
  private inPieces = false;
  /** Why the socket failed, for the log. */
  failure: string | undefined;

  constructor(socket: Socket, clock: Clock, limits: GatewayLimits, events: PeerEvents) {
    this.socket = socket;
    this.clock = clock;
    this.limits = limits;
    this.events = events;
    this.address = socket.remoteAddress ?? '';
    this.port = socket.remotePort ?? 0;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, limits.stallMs);
    this.attach(socket);
  }

  get open(): boolean {
    return this.state === 'open';
  }

  /**
   * Speaks TLS from here on; all that was encoded must have been flushed. `input` holds the beginning of the client's
   * handshake, or nothing. `onSecure` is called when it has succeeded; otherwise the peer closes.
   */
  startTls(upgrader: TlsUpgrader, onSecure: (socket: TLSSocket) => void): void {
    const { socket: raw, input } = this;
    for (const event of ['data', 'end', 'drain']) raw.removeAllListeners(event);
    raw.pause();
    if (input.length > 0) raw.unshift(Buffer.from(input.bytes.subarray(input.start, input.end)));
    input.clear();
    upgrader.upgrade(raw, (secure) => {
      if (this.state !== 'open') {
        secure.destroy();
        return;
      }
      this.socket = secure;
      this.attach(secure);
      onSecure(secure);
    });
  }

  /** The client does not take what was sent: no more is to be made until `onDrain`. */
  get blocked(): boolean {
    return this.socket.writableNeedDrain && this.socket.writableLength > 0;
  }

  /** Sends all that is encoded. */
  flush(): void {
    const { output } = this;
    if (output.length === 0) return;
    if (this.state !== 'open') {
      output.length = 0;
      return;
    }
    const bytes = output.take();
    this.turnBytes += bytes.length;
    this.socket.write(bytes);
    const waiting = this.socket.writableLength > 0;
    output.settle(waiting);
    if (waiting) this.watchWrites();
  }

  /** As `flush`, for large results: see ClientLink.push. */
  push(): Promise<void> | undefined {
    if (this.state !== 'open') return Promise.reject(new ClientGone());
    if (this.output.length > writeBytesMax) return this.pushInPieces();
    this.flush();
    if (this.blocked) return this.drained();
    return this.turnBytes >= this.limits.turnBytesMax ? this.nextTurn() : undefined;
  }

  /** Stops or resumes taking bytes from the socket. */
  setReading(reading: boolean): void {
    if (this.state !== 'open' || this.socket.isPaused() !== reading) return;
    if (reading) this.socket.resume();
    else this.socket.pause();
  }

  /** (Re)starts or stops the wait for the rest of a message that has begun. */
  expectMore(expected: boolean): void {
    this.readTimer?.cancel();
    this.readTimer = undefined;
    if (!expected || this.state !== 'open') return;
    this.readTimer = this.clock.setTimer(this.limits.stallMs, () => this.destroy('stalled_sender'));
  }

  /** Sends what is encoded, then closes; waits a little for the client to close too, so that it can read the end. */
  end(): void {
    if (this.state !== 'open') return;
    if (this.inPieces) {
      this.destroy('closed within a message');
      return;
    }
    this.flush();
    this.state = 'closing';
    this.stopTimers();
    this.input.clear();
    this.rejectWaiter();
    this.socket.end();
    this.socket.resume();
    this.lingerTimer = this.clock.setTimer(this.limits.lingerMs, () => this.destroy('lingering'));
  }

  /** Closes at once. */
  destroy(reason: string): void {
    if (this.state === 'closed') return;
    this.failure ??= reason;
    this.socket.destroy();
  }

  private attach(socket: Socket): void {
    socket.on('data', (chunk: Buffer) => {
      if (this.state !== 'open') return;
      this.input.append(chunk);
      this.events.onData();
    });
    socket.on('end', () => {
      if (this.state === 'open') this.events.onEnd();
    });
    socket.on('drain', () => this.onDrain());
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.failure ??= error.code ?? error.name; // 'close' follows
    });
    socket.on('close', () => this.onClose());
  }

  private async pushInPieces(): Promise<void> {
    const bytes = this.output.take();
    this.output.settle(true);
    this.inPieces = true;
    for (let at = 0; at < bytes.length; at += writeBytesMax) {
      if (this.state !== 'open') throw new ClientGone();
      this.socket.write(bytes.subarray(at, at + writeBytesMax));
      this.turnBytes += writeBytesMax;
      if (this.socket.writableLength > 0) this.watchWrites();
      if (this.blocked) await this.drained();
      else if (this.turnBytes >= this.limits.turnBytesMax) await this.nextTurn();
    }
    this.inPieces = false;
  }

  private drained(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiter = { resolve, reject };
    });
  }

  /** Everybody else's turn first. */
  private nextTurn(): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject };
      this.waiter = waiter;
      this.clock.afterTurn(() => {
        this.turnBytes = 0;
        if (this.waiter === waiter) this.resolveWaiter();
      });
    });
  }

  private resolveWaiter(): void {
    const { waiter } = this;
    this.waiter = undefined;
    waiter?.resolve();
  }

  private rejectWaiter(): void {
    const { waiter } = this;
    this.waiter = undefined;
    waiter?.reject(new ClientGone());
  }

  private onDrain(): void {
    this.writeTimer?.cancel();
    this.writeTimer = undefined;
    this.turnBytes = 0;
    if (this.state !== 'open') return;
    this.resolveWaiter();
    this.events.onDrain();
  }

  /** Small writes give no 'drain', so the timer looks for itself whether anything has moved. */
  private watchWrites(): void {
    if (this.writeTimer !== undefined) return;
    const waiting = this.socket.writableLength;
    const written = this.socket.bytesWritten - waiting;
    this.writeTimer = this.clock.setTimer(this.limits.stallMs, () => {
      this.writeTimer = undefined;
      const nowWaiting = this.socket.writableLength;
      if (nowWaiting === 0) return;
      if (this.socket.bytesWritten - nowWaiting > written) this.watchWrites();
      else this.destroy('stalled_reader');
    });
  }

  private stopTimers(): void {
    this.writeTimer?.cancel();
    this.readTimer?.cancel();
    this.lingerTimer?.cancel();
    this.writeTimer = undefined;
    this.readTimer = undefined;
    this.lingerTimer = undefined;
  }

  /** Of the raw socket and of the TLS socket over it: the first one counts. */
  private onClose(): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.socket.destroy();
    this.stopTimers();
    this.input.clear();
    this.output.length = 0;
    this.rejectWaiter();
    this.events.onClosed();
  }
}
