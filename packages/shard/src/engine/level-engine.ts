/**
 * The engine on LevelDB (classic-level). Buffers in and out, point reads on the calling thread, one batch at a time.
 * Its own log is never synced and its checksums never checked (the bundled version does neither for us): durability
 * comes from the write-ahead log plus `flush`, integrity from the CRC in every value.
 */
import { assert, ExitCode, FatalError, fatalDiskError } from '@flotilla/base';
import { ClassicLevel } from 'classic-level';
import type { Engine, EngineIterator, EngineOperation, EngineRow, EngineSpan } from './engine.ts';

/**
 * Of a memtable. A larger one makes fewer and larger tables, and yet costs more: rows are put into a list whose nodes lie all
 * over it, and with 32 MiB nearly every step is a miss of the processor's caches. Unit: bytes.
 */
const writeBufferBytes = 8 * 1024 * 1024;
const cacheBytes = 64 * 1024 * 1024;
const iteratorChunkBytes = 256 * 1024;
/** Below every key that a store writes, so that compacting it touches no table. */
const belowEverything = Buffer.of(0);

type Level = ClassicLevel<Buffer, Buffer>;

/** Opens or makes the database in `directory`. Throws FatalError: `locked`, `engineCorrupt` or a disk code. */
export async function openLevelEngine(directory: string): Promise<Engine> {
  const level: Level = new ClassicLevel<Buffer, Buffer>(directory, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    compression: true,
    writeBufferSize: writeBufferBytes,
    cacheSize: cacheBytes,
  });
  try {
    await level.open();
  } catch (error) {
    throw openFailure(directory, error);
  }
  return new LevelEngine(level);
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

function openFailure(directory: string, error: unknown): FatalError {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const code = codeOf(cause);
  if (code === 'LEVEL_LOCKED')
    return new FatalError(
      ExitCode.locked,
      `another process holds ${directory}`,
      { directory },
      cause,
    );
  const text = cause instanceof Error ? cause.message : String(cause);
  if (code === 'LEVEL_CORRUPTION' || /corrupt|missing|does not exist|checksum/i.test(text))
    return new FatalError(
      ExitCode.engineCorrupt,
      `the state in ${directory} is damaged (${text}); rebuild this store from its peers under a new id`,
      { directory, code },
      cause,
    );
  return fatalDiskError(`opening ${directory}`, cause);
}

class LevelEngine implements Engine {
  private readonly level: Level;
  private writing = false;
  private broken: FatalError | undefined;

  constructor(level: Level) {
    this.level = level;
  }

  get(key: Buffer): Buffer | undefined {
    try {
      return this.level.getSync(key);
    } catch (error) {
      throw this.readFailure(error);
    }
  }

  getMany(keys: readonly Buffer[]): (Buffer | undefined)[] {
    // Without a write under way nothing can land between two reads of one turn.
    if (keys.length < 2 || !this.writing) return keys.map((key) => this.get(key));
    const snapshot = this.level.snapshot();
    try {
      return keys.map((key) => this.level.getSync(key, { snapshot }));
    } catch (error) {
      throw this.readFailure(error);
    } finally {
      // Closing is synchronous underneath; the promise carries no news.
      void snapshot.close();
    }
  }

  iterate(span: EngineSpan, options: { readonly reverse?: boolean } = {}): EngineIterator {
    const iterator = this.level.iterator({
      gte: span.startKey,
      lt: span.endKey,
      reverse: options.reverse === true,
      highWaterMarkBytes: iteratorChunkBytes,
      fillCache: true,
    });
    return {
      next: async (rowsMax: number): Promise<readonly EngineRow[]> => {
        try {
          const entries = await iterator.nextv(rowsMax);
          return entries.map(([key, value]) => ({ key, value }));
        } catch (error) {
          throw this.readFailure(error);
        }
      },
      close: () => iterator.close(),
    };
  }

  async write(operations: readonly EngineOperation[]): Promise<void> {
    assert(!this.writing, 'one engine write at a time');
    if (this.broken !== undefined) throw this.broken;
    this.writing = true;
    try {
      const batch = this.level.batch();
      for (const operation of operations) {
        if (operation.type === 'put') batch.put(operation.key, operation.value);
        else batch.del(operation.key);
      }
      await batch.write();
    } catch (error) {
      throw this.writeFailure('writing state', error);
    } finally {
      this.writing = false;
    }
  }

  async flush(): Promise<void> {
    if (this.broken !== undefined) throw this.broken;
    try {
      // Compacting any interval first writes out the memtable; on an empty interval that is all it does.
      await this.level.compactRange(belowEverything, belowEverything);
    } catch (error) {
      throw this.writeFailure('flushing state', error);
    }
  }

  close(): Promise<void> {
    return this.level.close();
  }

  private writeFailure(what: string, error: unknown): FatalError {
    this.broken ??= fatalDiskError(what, error);
    return this.broken;
  }

  private readFailure(error: unknown): FatalError {
    if (this.broken !== undefined) return this.broken;
    if (codeOf(error) === 'LEVEL_CORRUPTION')
      this.broken = new FatalError(
        ExitCode.engineCorrupt,
        'a block of state is damaged',
        {},
        error,
      );
    else this.broken = fatalDiskError('reading state', error);
    return this.broken;
  }
}
