/**
 * Follows what a server says without keeping it: whether its messages are whole and known, and whether it has come to
 * the answer to the last thing that was asked. What it says of its own accord may come at any time and is no answer.
 * For the fuzzer.
 */
import { frameHeaderBytes } from '../messages/message-types.ts';

/** Every type that a server of protocol 3.0 may send to a client that does not replicate. */
const knownTypes = new Set(Buffer.from('RKvSZTDCEINAGHdc123nst'));
const errorResponse = 0x45; // 'E'
const readyForQuery = 0x5a; // 'Z'

export class AnswerWatch {
  private readonly mark: string;
  private held: Buffer = Buffer.alloc(0);
  private marked = false;
  /** The error that holds the mark has come, and ReadyForQuery after it. */
  answered = false;
  /** What is wrong with the server's messages. Nothing is looked at behind it. */
  defect: string | undefined = undefined;

  /** @param mark only the last question is answered with an error that holds it */
  constructor(mark: string) {
    this.mark = mark;
  }

  take(chunk: Buffer): void {
    if (this.defect !== undefined) return;
    const bytes = this.held.length === 0 ? chunk : Buffer.concat([this.held, chunk]);
    let at = 0;
    while (bytes.length - at >= frameHeaderBytes) {
      const type = bytes[at] as number;
      const length = bytes.readInt32BE(at + 1);
      if (!knownTypes.has(type) || length < 4) {
        this.defect = `a message of type ${type} and length ${length}`;
        return;
      }
      const end = at + 1 + length;
      if (end > bytes.length) break;
      if (type === errorResponse) {
        const body = bytes.toString('utf8', at + frameHeaderBytes, end);
        if (body.includes(this.mark)) this.marked = true;
      } else if (type === readyForQuery && this.marked) this.answered = true;
      at = end;
    }
    this.held = bytes.subarray(at);
  }
}
