/** What a session needs of the connection below it: somewhere to encode, and a way to wait for a slow reader. */
import type { SqlError } from '@flotilla/sql';
import type { OutputBuffer } from '../messages/output-buffer.ts';

export interface ClientLink {
  readonly output: OutputBuffer;
  /** Sends what is encoded, now. */
  flush(): void;
  /**
   * Sends what is encoded. Undefined if the peer keeps up; otherwise a promise to wait for before encoding more.
   * It rejects with ClientGone when the connection ends meanwhile.
   */
  push(): Promise<void> | undefined;
  /** Sends the error as FATAL and closes. */
  fatal(error: SqlError): void;
}

/** The connection ended under a running statement. Never shown to anybody. */
export class ClientGone extends Error {
  constructor() {
    super('the client is gone');
    this.name = 'ClientGone';
  }
}
