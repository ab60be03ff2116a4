/**
 * The catalog as one process sees it: a cache of names and descriptors that is valid for one catalog version. Statements
 * ask `confirm` whether what they rest on still holds; the answer costs one read of the version key, which all
 * statements that start in one turn of the event loop share. See docs/adr/0006-catalog-version-check.md.
 */
import { type Clock, DbError } from '@flotilla/base';
import type { KvDatabase } from '../kv-transaction.ts';
import { decodeDescriptor, type TableDescriptor } from './descriptor.ts';
import { catalogVersionKey, decodeCounter, descriptorKey, nameKey } from './keys.ts';

/** Names looked up at one version. Beyond it the cache starts over. */
const namesMax = 10_000;

/** What a plan rests on. */
export interface CatalogDependent {
  readonly tables: readonly TableDescriptor[];
  catalogVersion: number;
}

export class Catalog {
  private readonly database: KvDatabase;
  private readonly clock: Clock;
  private known = 0;
  private names = new Map<string, TableDescriptor | undefined>();
  private readonly descriptors = new Map<number, TableDescriptor>();
  private shared: Promise<number> | undefined;

  constructor(database: KvDatabase, clock: Clock) {
    this.database = database;
    this.clock = clock;
  }

  /** The newest version that this process has seen. */
  get version(): number {
    return this.known;
  }

  /**
   * The version now: a read that is not answered yet and began no earlier than the turn of the event loop in which it is
   * asked for, and after every change of the catalog that this process has made. Errors: those of KvTransaction.get.
   */
  readVersion(): Promise<number> {
    if (this.shared === undefined) return this.readVersionAfresh();
    return this.shared;
  }

  /** As `readVersion`, but the read begins after this call. */
  readVersionAfresh(): Promise<number> {
    const reading = this.database
      .begin({ readOnly: true })
      .get(catalogVersionKey)
      .then(decodeCounter);
    this.shared = reading;
    const forget = () => this.forget(reading);
    // A read that has been answered, or that began in an earlier turn, may be older than who asks now.
    reading.then(forget, forget);
    this.clock.afterTurn(forget);
    return reading;
  }

  /**
   * True if every table of the plan is still what its name means; moves the plan's version up if so.
   * @param afresh the check must begin after this call, not just after the start of this turn
   */
  async confirm(plan: CatalogDependent, afresh = false): Promise<boolean> {
    if (plan.tables.length === 0) return true;
    const version = await (afresh ? this.readVersionAfresh() : this.readVersion());
    if (version === plan.catalogVersion) return true;
    this.advance(version);
    return this.stillNamed(plan);
  }

  /** As `confirm`, as of the newest version known here, without asking whether there is a newer one. */
  async stillNamed(plan: CatalogDependent): Promise<boolean> {
    const version = this.known;
    if (plan.catalogVersion === version) return true;
    for (const table of plan.tables) {
      const current = await this.lookup(table.schema, table.name);
      if (current?.id !== table.id) return false;
    }
    plan.catalogVersion = Math.max(plan.catalogVersion, version);
    return true;
  }

  /** The table of this name at version `this.version` or a newer one, which then becomes known. */
  async lookup(schema: string, name: string): Promise<TableDescriptor | undefined> {
    const key = `${schema}\0${name}`;
    for (;;) {
      const version = this.known;
      if (version > 0 && this.names.has(key)) return this.names.get(key);
      const [versionBytes, idBytes] = await this.database
        .begin({ readOnly: true })
        .getMany([catalogVersionKey, nameKey(schema, name)]);
      const read = decodeCounter(versionBytes);
      if (read < this.known) continue; // an older answer came late
      this.advance(read);
      const table =
        idBytes === undefined ? undefined : await this.descriptor(decodeCounter(idBytes));
      if (idBytes !== undefined && table === undefined) continue; // dropped between the two reads
      if (this.known !== read) continue;
      if (this.names.size >= namesMax) this.names.clear();
      this.names.set(key, table);
      return table;
    }
  }

  /** Takes note of a version; what was cached for an older one is dropped. Descriptors never change and stay. */
  advance(version: number): void {
    if (version <= this.known) return;
    this.known = version;
    this.names.clear();
    this.shared = undefined;
    if (this.descriptors.size >= namesMax) this.descriptors.clear();
  }

  private async descriptor(id: number): Promise<TableDescriptor | undefined> {
    const cached = this.descriptors.get(id);
    if (cached !== undefined) return cached;
    const bytes = await this.database.begin({ readOnly: true }).get(descriptorKey(id));
    if (bytes === undefined) return undefined;
    const table = decodeDescriptor(bytes);
    if (table.id !== id) throw new DbError('CORRUPTION', `descriptor ${id} says it is ${table.id}`);
    const raced = this.descriptors.get(id);
    if (raced !== undefined) return raced;
    this.descriptors.set(id, table);
    return table;
  }

  private forget(reading: Promise<number>): void {
    if (this.shared === reading) this.shared = undefined;
  }
}
