/** The prepared statements and portals of one connection, by name; '' is the unnamed one. Both are bounded. */
import {
  type ColumnDescription,
  type Datum,
  type NamedStatement,
  type NamedStatements,
  SqlError,
  type StatementResult,
  type TransactionScope,
} from '@flotilla/sql';
import type { GatewayLimits } from '../limits.ts';
import type { Format } from '../messages/backend-messages.ts';
import type { RowShape } from '../messages/data-row.ts';
import type { RowCursor } from './row-cursor.ts';

export interface Portal {
  readonly name: string;
  readonly statement: NamedStatement;
  readonly parameters: readonly Datum[];
  readonly resultFormats: readonly Format[];
  readonly retainedBytes: number;
  /** The transaction or savepoint that it was made in; undefined: it was made before there was one. */
  readonly scope: TransactionScope | undefined;
  state: PortalState;
}

export type PortalState =
  | { readonly kind: 'bound' }
  | {
      readonly kind: 'suspended';
      readonly result: StatementResult;
      readonly cursor: RowCursor;
      readonly shape: RowShape;
    }
  | { readonly kind: 'done'; readonly columns: readonly ColumnDescription[] | undefined };

/** A map with a bound on its size and on the bytes that its entries hold. */
class BoundedMap<T extends { readonly retainedBytes: number }> {
  readonly entries = new Map<string, T>();
  private readonly what: string;
  private readonly sizeMax: number;
  private readonly bytesMax: number;
  private bytes = 0;

  constructor(what: string, sizeMax: number, bytesMax: number) {
    this.what = what;
    this.sizeMax = sizeMax;
    this.bytesMax = bytesMax;
  }

  /** Throws SqlError 53400 when full. The name must be free. */
  add(name: string, entry: T): void {
    if (
      this.entries.size >= this.sizeMax ||
      (this.entries.size > 0 && this.bytes + entry.retainedBytes > this.bytesMax)
    ) {
      throw new SqlError('53400', `too many ${this.what} in this session`);
    }
    this.entries.set(name, entry);
    this.bytes += entry.retainedBytes;
  }

  delete(name: string): void {
    const entry = this.entries.get(name);
    if (entry === undefined) return;
    this.bytes -= entry.retainedBytes;
    this.entries.delete(name);
  }
}

/** Named statements are the session's, which PREPARE shares; the unnamed one is the protocol's own. */
export class PreparedStatements {
  private readonly named: NamedStatements;
  private readonly limits: GatewayLimits;
  private unnamed: NamedStatement | undefined;

  constructor(named: NamedStatements, limits: GatewayLimits) {
    this.named = named;
    this.limits = limits;
  }

  /** Throws SqlError 26000. */
  get(name: string): NamedStatement {
    if (name !== '') return this.named.get(name);
    if (this.unnamed !== undefined) return this.unnamed;
    throw new SqlError('26000', 'unnamed prepared statement does not exist');
  }

  /** Throws SqlError 42P05: a named statement is not replaced. */
  checkFree(name: string): void {
    if (name !== '') this.named.checkFree(name);
  }

  /** Throws SqlError 53400 when there are too many. */
  add(name: string, statement: NamedStatement): void {
    if (name === '') {
      this.unnamed = statement;
      return;
    }
    const { size, retainedBytes } = this.named;
    const { statementsMax, retainedBytesMax } = this.limits;
    const full = size > 0 && retainedBytes + statement.retainedBytes > retainedBytesMax;
    if (size >= statementsMax || full)
      throw new SqlError('53400', 'too many prepared statements in this session');
    this.named.add(name, statement);
  }

  delete(name: string): void {
    if (name === '') this.unnamed = undefined;
    else this.named.delete(name);
  }
}

export class Portals {
  private readonly portals: BoundedMap<Portal>;

  constructor(limits: GatewayLimits) {
    this.portals = new BoundedMap('portals', limits.portalsMax, limits.retainedBytesMax);
  }

  get size(): number {
    return this.portals.entries.size;
  }

  find(name: string): Portal | undefined {
    const portal = this.portals.entries.get(name);
    return portal?.scope?.ended === true ? undefined : portal;
  }

  /** Throws SqlError 34000. */
  get(name: string): Portal {
    const portal = this.find(name);
    if (portal !== undefined) return portal;
    throw new SqlError('34000', `portal "${name}" does not exist`);
  }

  /** Throws SqlError 42P03: a named portal is not replaced. */
  checkFree(name: string): void {
    const portal = name === '' ? undefined : this.portals.entries.get(name);
    if (portal === undefined) return;
    if (portal.scope?.ended !== true)
      throw new SqlError('42P03', `cursor "${name}" already exists`);
    this.portals.delete(name);
  }

  /** Forgets those whose transaction or savepoint has ended. Their results have ended with it. */
  sweep(): void {
    for (const [name, { scope }] of this.portals.entries)
      if (scope?.ended === true) this.portals.delete(name);
  }

  add(portal: Portal): void {
    this.portals.add(portal.name, portal);
  }

  /** Removes a portal. Undefined if it held nothing; otherwise the end of its half-read result. */
  destroy(name: string): Promise<void> | undefined {
    const portal = this.portals.entries.get(name);
    if (portal === undefined) return undefined;
    this.portals.delete(name);
    return finishResult(portal);
  }

  /** Removes all, each result finished even if another's end fails; throws the first such failure. */
  destroyAll(): Promise<void> | undefined {
    let suspended: Portal[] | undefined;
    for (const portal of this.portals.entries.values()) {
      this.portals.delete(portal.name);
      if (portal.state.kind === 'suspended') {
        suspended ??= [];
        suspended.push(portal);
      }
    }
    return suspended === undefined ? undefined : finishAll(suspended);
  }
}

async function finishAll(portals: readonly Portal[]): Promise<void> {
  let failure: { readonly error: unknown } | undefined;
  for (const portal of portals) {
    try {
      await finishResult(portal);
    } catch (error) {
      failure ??= { error };
    }
  }
  if (failure !== undefined) throw failure.error;
}

/**
 * A suspended query is given up. A suspended statement that writes (INSERT … RETURNING, fetched row by row) runs to
 * its end: the client has been told of some of its rows, and its writes are durable only then.
 */
function finishResult(portal: Portal): Promise<void> | undefined {
  const { state } = portal;
  if (state.kind !== 'suspended') return undefined;
  portal.state = { kind: 'done', columns: state.result.columns };
  return portal.statement.prepared?.readOnly === true ? state.cursor.close() : state.cursor.drain();
}
