/**
 * Frames from other stores of the cluster on one channel, taken apart and decoded. What is from elsewhere or does not
 * decode is counted and dropped; what a handler throws is a bug of ours and ends the process.
 */
import { asBuffer, type Channel, FrameReader, type Listener, type StoreId } from '@flotilla/base';
import type { StoreContext } from './context.ts';

export interface PeerChannelOptions<Message> {
  readonly channel: Channel;
  /** Undefined: bad bytes. */
  readonly decode: (bytes: Uint8Array) => Message | undefined;
  /** All messages of one frame. */
  readonly receive: (from: StoreId, messages: readonly Message[]) => void;
}

export class PeerChannel<Message> {
  private readonly context: StoreContext;
  private readonly options: PeerChannelOptions<Message>;
  private readonly reader: FrameReader;
  private readonly listener: Listener;
  /** Frames and messages. */
  dropped = 0;

  constructor(context: StoreContext, options: PeerChannelOptions<Message>) {
    this.context = context;
    this.options = options;
    const { clock, transport } = context.options;
    this.reader = new FrameReader({ clock });
    this.listener = transport.listen(
      { kind: 'store', storeId: context.storeId, channel: options.channel },
      (frame) => this.onFrame(frame),
    );
  }

  close(): void {
    this.listener.close();
    this.reader.close();
  }

  private onFrame(frame: Uint8Array): void {
    const read = this.reader.read(asBuffer(frame));
    if (!read.ok || read.header.sender.kind !== 'store' || !this.context.isOurs(read.header)) {
      this.dropped++;
      return;
    }
    this.context.observeHeader(read.header);
    const messages: Message[] = [];
    for (const bytes of read.messages) {
      const message = this.options.decode(bytes);
      if (message === undefined) this.dropped++;
      else messages.push(message);
    }
    if (messages.length === 0) return;
    try {
      this.options.receive(read.header.sender.storeId, messages);
    } catch (error) {
      this.context.fail(error);
    }
  }
}
