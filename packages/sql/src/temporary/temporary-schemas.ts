/**
 * The schemas of temporary objects that the sessions of this process have. They are schemas of the catalog like others, with
 * tables whose rows lie in ranges; when a session ends its schema goes with all that is in it. What a process leaves that died is
 * found by the next one that needs such a schema: a schema names its process, whose presence (advisory/process-presence.ts) says
 * whether it lives. One per engine.
 */
import { type Clock, DbError, type Logger, type Prng, type Timer } from '@flotilla/base';
import { PresenceWatch, ProcessPresence } from '../advisory/process-presence.ts';
import { processKey } from '../advisory/rows.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { SchemaDescriptor, TableDescriptor } from '../catalog/descriptor.ts';
import { CatalogEditor } from '../catalog/editor.ts';
import type { CatalogIds } from '../catalog/ids.ts';
import { isTemporarySchema, temporarySchemaName } from '../catalog/temporary-schema.ts';
import type { DroppedStorage } from '../dropped/dropped-storage.ts';
import type { KvDatabase } from '../kv-transaction.ts';
import { conflictRunsMax, presence } from '../limits.ts';
import { storageSpan } from '../storage/table-store.ts';
import { emptyAtCommit } from './on-commit.ts';

export interface TemporarySchemasOptions {
  readonly database: KvDatabase;
  readonly catalog: Catalog;
  readonly ids: CatalogIds;
  readonly dropped: DroppedStorage;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly logger: Logger;
}

/** What a session puts its temporary objects into. */
export interface TemporaryClaim {
  readonly id: number;
  readonly name: string;
  /** As its presence names the process. */
  readonly process: string;
}

export class TemporarySchemas {
  private readonly options: TemporarySchemasOptions;
  private readonly presence: ProcessPresence;
  private readonly watch: PresenceWatch;
  private readonly held = new Set<string>();
  private readonly dropping = new Set<Promise<void>>();
  private sweepTimer: Timer | undefined;
  private sweeping = false;

  constructor(options: TemporarySchemasOptions) {
    this.options = options;
    const { database, clock, logger, prng } = options;
    const words = Array.from({ length: 4 }, () => prng.nextUint32().toString(16).padStart(8, '0'));
    this.watch = new PresenceWatch(clock);
    this.presence = new ProcessPresence({
      ...{ database, clock, logger },
      id: words.join(''),
      needed: () => this.held.size > 0,
      // Others may have dropped the schemas: their sessions find that the tables are gone.
      onLost: () => undefined,
    });
  }

  /** A name for a session that has none yet; the schema comes into being with the first object. Throws DbError. */
  async claim(): Promise<TemporaryClaim> {
    await this.presence.enter();
    const process = this.presence.name;
    const id = await this.options.ids.take();
    const name = temporarySchemaName(id);
    this.held.add(name);
    void this.sweep();
    return { id, name, process };
  }

  /** The session has ended: its objects go. Never throws. */
  release(claim: TemporaryClaim): void {
    const { logger } = this.options;
    const work = this.drop(claim.name)
      .catch((error: unknown) => {
        // The next process that needs such a schema finds it.
        logger.warn({ schema: claim.name, error: String(error) }, 'temporary_schema_left_behind');
      })
      .finally(() => {
        this.held.delete(claim.name);
        this.dropping.delete(work);
      });
    this.dropping.add(work);
  }

  /** Its sessions have ended; resolves when their objects are gone. */
  async close(): Promise<void> {
    this.sweepTimer?.cancel();
    await Promise.all(this.dropping);
    if (this.held.size === 0) await this.presence.leave();
  }

  /** The rows of a table go. Throws DbError. */
  async empty(table: TableDescriptor): Promise<void> {
    const transaction = this.options.database.begin();
    await emptyAtCommit([table], transaction);
    await transaction.commit();
  }

  /** All that is in the schema, and the schema. Throws DbError. */
  async drop(name: string, withSchema = true): Promise<void> {
    const { database, catalog, dropped } = this.options;
    for (let run = 1; ; run++) {
      const newest = await catalog.loadNewest();
      // Their names are given out once, whatever the database.
      const snapshot = newest.everywhere().find(({ schemas }) => schemas.has(name));
      const schema = snapshot?.schemas.get(name);
      if (snapshot === undefined || schema === undefined) return;
      const editor = new CatalogEditor(snapshot);
      removeAll(editor, schema, withSchema);
      if (!editor.changed) return;
      const transaction = database.begin();
      try {
        await catalog.change(editor, transaction);
        if (editor.garbage.length > 0) dropped.wake();
        return;
      } catch (error) {
        transaction.rollback();
        const conflict = error instanceof DbError && error.code === 'CONFLICT';
        if (!conflict || run >= conflictRunsMax) throw error;
      }
    }
  }

  /** Drops what processes have left that are seen to be dead; looks again while there are some that may be. */
  private async sweep(): Promise<void> {
    if (this.sweeping) return;
    this.sweeping = true;
    const { catalog, database, clock, logger } = this.options;
    let left = 0;
    try {
      const everywhere = catalog.snapshot.everywhere();
      for (const schema of everywhere.flatMap(({ schemas }) => [...schemas.values()])) {
        const { name, temporary } = schema;
        if (!isTemporarySchema(name) || temporary === undefined || this.held.has(name)) continue;
        const reader = database.begin({ readOnly: true });
        const row = await reader.get(processKey(temporary));
        reader.rollback();
        if (this.watch.isDead(temporary, row)) await this.drop(name);
        else left++;
      }
    } catch (error) {
      logger.warn({ error: String(error) }, 'temporary_schemas_not_swept');
    } finally {
      this.sweeping = false;
    }
    this.sweepTimer?.cancel();
    this.sweepTimer = undefined;
    if (left > 0 && this.held.size > 0)
      this.sweepTimer = clock.setTimer(presence.deadMs, () => void this.sweep());
  }
}

/** Nothing outside of the schema depends on what is in it. */
function removeAll(editor: CatalogEditor, schema: SchemaDescriptor, withSchema: boolean): void {
  for (const relation of editor.snapshot.sorted()) {
    if (relation.schema !== schema.name) continue;
    editor.remove(relation.id);
    if (relation.kind !== 'view') editor.addGarbage(storageSpan(relation.storageId));
  }
  for (const type of editor.snapshot.types())
    if (type.schema === schema.name) editor.removeType(type.id);
  if (withSchema) editor.removeSchema(schema);
}
