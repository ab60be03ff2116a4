/** Cancel requests on their way to the process that has the session: whoever takes them checks their secret. At most once. */
import { DbError, type Logger } from '@flotilla/base';
import type { Peers } from './peers.ts';
import type { ProcessDirectory } from './process-directory.ts';

export interface CancelKeyBytes {
  readonly processId: number;
  readonly secret: Uint8Array;
}

/** The other processes that have sessions, for a gateway. */
export interface RemoteCancels {
  /** From now on others find this process. @returns its number, in [0, 1023]. Throws DbError. */
  join(): Promise<number>;
  /** @param host the number of the process that has the session */
  forward(host: number, key: CancelKeyBytes): Promise<void>;
  /** What others have forwarded. */
  onCancel(handler: (key: CancelKeyBytes) => void): void;
}

const topic = 'cancel';
const secretBytesMax = 256;

export function remoteCancels(
  peers: Peers | undefined,
  directory: ProcessDirectory,
  logger: Logger,
): RemoteCancels {
  return {
    join: () => directory.join(),
    async forward(host, { processId, secret }) {
      try {
        const to = await directory.peerOf(host);
        const payload = Buffer.alloc(4 + secret.length);
        payload.writeUInt32BE(processId >>> 0);
        payload.set(secret, 4);
        if (to !== undefined && to !== peers?.id) peers?.send(to, topic, payload);
      } catch (error) {
        if (!(error instanceof DbError)) throw error;
        logger.warn({ code: error.code }, 'sql_cancel_not_forwarded');
      }
    },
    onCancel(handler) {
      peers?.listen(topic, (_from, payload) => {
        if (payload.length < 5 || payload.length > 4 + secretBytesMax) return;
        const bytes = Buffer.from(payload);
        handler({ processId: bytes.readUInt32BE(0), secret: bytes.subarray(4) });
      });
    },
  };
}
