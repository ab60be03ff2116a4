/**
 * A database of this process's own. The code of stores is loaded here, and only when it is asked for: whoever talks to a
 * cluster never loads it.
 */
import { ClosingSteps, type Logger, silentLogger } from '@flotilla/base';
import { createRouter } from '@flotilla/router';
import { createStorePrograms } from '@flotilla/sql';
import { temporaryFiles } from './cluster-options.ts';
import { createFlotilla } from './create-flotilla.ts';
import type { Flotilla } from './flotilla.ts';
import type { OnOperation } from './operations.ts';

export interface EmbeddedConnectOptions {
  /** A cluster of one store in this process: for unit tests, and for programs that want a database in a directory. */
  readonly embedded: true;
  /** Directory for the data: made if absent, and held by one process at a time. Default: memory, gone with `close`. */
  readonly path?: string;
  readonly logger?: Logger;
  /** Called after every operation, with what it came to: for metrics. */
  readonly onOperation?: OnOperation;
  /** Where statements put rows that they cannot hold in memory. Default: nowhere, and they fail (SQLSTATE 53200). */
  readonly temporaryDirectory?: string;
  /** The store cannot go on: its disk is full, say. Default: the error is thrown where nobody catches it. */
  readonly onFatal?: (error: Error) => void;
}

export async function connectEmbedded(options: EmbeddedConnectOptions): Promise<Flotilla> {
  const { embedded: _, onOperation, temporaryDirectory, ...rest } = options;
  const { openEmbeddedCluster } = await import('@flotilla/embedded');
  const cluster = await openEmbeddedCluster({ ...rest, programs: createStorePrograms() });
  const closing = new ClosingSteps();
  closing.add(() => cluster.close());
  const { clock, prng, transport } = cluster;
  const { logger = silentLogger } = options;
  const router = createRouter({ transport, clock, prng, logger });
  closing.add(() => router.close());
  try {
    return await createFlotilla({
      ...{ router, clock, prng, logger },
      ...temporaryFiles(temporaryDirectory, clock),
      ...(onOperation === undefined ? {} : { onOperation }),
      onClosed: () => cluster.close(),
    });
  } catch (error) {
    return closing.runAfter(error);
  }
}
