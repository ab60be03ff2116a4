/** Looks at what a client has sent while its statement runs, without taking it. */
import type { FrameBuffer } from './frame-buffer.ts';
import { Frontend } from './messages/message-types.ts';

/**
 * Whether a Terminate is next, behind nothing but Sync, Flush and Close: the client wants nothing more done.
 * Cost: constant for a client that has more work queued.
 */
export function goodbyeFollows(input: FrameBuffer): boolean {
  const { bytes, end } = input;
  let at = input.start;
  while (end - at >= 5) {
    switch (bytes[at]) {
      case Frontend.terminate:
        return true;
      case Frontend.sync:
      case Frontend.flush:
      case Frontend.close: {
        const length = bytes.readUInt32BE(at + 1);
        if (length < 4) return false;
        at += length + 1;
        break;
      }
      default:
        return false;
    }
  }
  return false;
}
