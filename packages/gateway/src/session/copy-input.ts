/**
 * Data of COPY FROM on its way in: the statement asks for data, and every message that brings some is only done with when the statement asks again or has ended, so that the connection
 * reads no faster than rows are written.
 */
import { type CopyIn, type CopySource, SqlError } from '@flotilla/sql';
import { writeCopyResponse } from '../messages/backend-messages.ts';
import type { MessageReader } from '../messages/message-reader.ts';
import { Backend, Frontend } from '../messages/message-types.ts';
import type { ClientLink } from './client-link.ts';

interface Waiting {
  resolve(bytes: Uint8Array | undefined): void;
  reject(error: unknown): void;
}

export class CopyInput implements CopySource {
  /** The message at hand may begin a copy. Set before its first `await`. */
  expected = false;
  private readonly link: ClientLink;
  private running = false;
  private reader: Waiting | undefined;
  /** Ends the work on the message at hand. */
  private release: (() => void) | undefined;

  constructor(link: ClientLink) {
    this.link = link;
  }

  /** From CopyInResponse until the statement has ended: messages are for `handle`. */
  get active(): boolean {
    return this.running;
  }

  async run(copy: CopyIn): Promise<void> {
    writeCopyResponse(this.link.output, Backend.copyInResponse, copy);
    this.link.flush();
    this.running = true;
    try {
      await copy.load(this);
    } finally {
      this.running = false;
    }
  }

  /** Resolves when `work` has ended or waits for data, whichever comes first. */
  begun(work: Promise<void>): Promise<void> {
    this.expected = false;
    return new Promise((resolve, reject) => {
      this.release = resolve;
      work.then(() => {
        if (this.release === undefined) this.link.flush(); // nobody else will
        this.letGo();
      }, reject);
    });
  }

  read(signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      const abort = (): void => settle(() => reject(signal?.reason));
      const settle = (how: () => void): void => {
        this.reader = undefined;
        signal?.removeEventListener('abort', abort);
        how();
      };
      this.reader = {
        resolve: (bytes) => settle(() => resolve(bytes)),
        reject: (error) => settle(() => reject(error)),
      };
      if (signal?.aborted === true) abort();
      else signal?.addEventListener('abort', abort);
      this.letGo();
    });
  }

  /** A message during a copy. @returns as ProtocolSession.handle does */
  handle(type: number, message: MessageReader): Promise<void> | undefined {
    if (type === Frontend.flush || type === Frontend.sync) return undefined; // PostgreSQL ignores them too
    if (!isCopyMessage(type)) {
      const code = type.toString(16).toUpperCase().padStart(2, '0');
      this.link.fatal(
        new SqlError('08P01', `unexpected message type 0x${code} during COPY from stdin`),
      );
      return undefined;
    }
    const { reader } = this;
    const turn = new Promise<void>((resolve) => {
      this.release = resolve;
    });
    if (type === Frontend.copyData)
      reader?.resolve(Uint8Array.from(message.view(message.remaining)));
    else if (type === Frontend.copyDone) reader?.resolve(undefined);
    else reader?.reject(failure(message));
    return turn;
  }

  private letGo(): void {
    const { release } = this;
    this.release = undefined;
    release?.();
  }
}

function failure(message: MessageReader): unknown {
  try {
    return new SqlError('57014', `COPY from stdin failed: ${message.cString()}`);
  } catch (error) {
    return error;
  }
}

/** CopyData, CopyDone, CopyFail. */
export function isCopyMessage(type: number): boolean {
  return type === Frontend.copyData || type === Frontend.copyDone || type === Frontend.copyFail;
}
