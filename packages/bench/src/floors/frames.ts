/**
 * What the minimal programs say to each other: a frame is a list of operations of one size, each with a number of four
 * bytes in front. Nothing is encoded or checked that the figures do not need.
 */
export const operationBytes = 132;

/** A list that grows until it is sent: many operations, one frame. */
export class Outgoing {
  private buffer = Buffer.allocUnsafe(64 * operationBytes);
  private count = 0;

  get isEmpty(): boolean {
    return this.count === 0;
  }

  /** With the operation's own bytes, whatever they are. */
  add(number: number): void {
    this.room(this.count + 1);
    this.buffer.writeUInt32LE(number, this.count * operationBytes);
    this.count++;
  }

  addAll(frame: Uint8Array): void {
    const added = frame.length / operationBytes;
    this.room(this.count + added);
    this.buffer.set(frame, this.count * operationBytes);
    this.count += added;
  }

  /** Begins a new one. */
  take(): Buffer {
    const frame = this.buffer.subarray(0, this.count * operationBytes);
    this.buffer = Buffer.allocUnsafe(Math.max(64 * operationBytes, frame.length));
    this.count = 0;
    return frame;
  }

  private room(count: number): void {
    if (count * operationBytes <= this.buffer.length) return;
    const larger = Buffer.allocUnsafe(2 * count * operationBytes);
    larger.set(this.buffer.subarray(0, this.count * operationBytes));
    this.buffer = larger;
  }
}

export function numbersIn(frame: Uint8Array): number[] {
  const view = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
  const numbers: number[] = [];
  for (let at = 0; at < frame.length; at += operationBytes) numbers.push(view.readUInt32LE(at));
  return numbers;
}
