/**
 * Tables that are computed from the catalog in memory when a statement reads them: pg_catalog and information_schema. A plan
 * reads one like any table, row by row; nothing about them is stored. One file for each group of tables, all registered in
 * registry.ts.
 */
import type { AdvisoryFacts } from '../../advisory/advisory-facts.ts';
import type { ClusterInspector } from '../../cluster/cluster-inspector.ts';
import type { SessionFacts } from '../../cluster/session-facts.ts';
import type { CursorFacts } from '../../cursors/cursor-facts.ts';
import type { DroppedRow } from '../../dropped/dropped-rows.ts';
import type { PreparedFacts } from '../../named-statements.ts';
import type { Datum } from '../../session-api.ts';
import type { TextContext } from '../../types/text-codec.ts';
import type { SqlType } from '../../types/type.ts';
import type { SequenceDescriptor } from '../descriptor.ts';
import type { SequenceState } from '../sequences.ts';
import type { CatalogSnapshot } from '../snapshot.ts';

export interface VirtualColumn {
  readonly name: string;
  readonly type: SqlType;
  readonly modifier: number;
}

export interface SettingRow {
  readonly name: string;
  readonly value: string;
  readonly initial: string;
  readonly vartype: string;
  readonly context: string;
}

/** What the rows are computed from. */
export interface VirtualSource {
  readonly snapshot: CatalogSnapshot;
  /** The session's names: what they lead to is printed without its schema. */
  readonly names: {
    find(
      schema: undefined,
      name: string,
    ): { readonly schema: string; readonly name: string } | undefined;
  };
  readonly user: string;
  readonly database: string;
  setting(name: string): string | undefined;
  settings(): Iterable<SettingRow>;
  /** Undefined: the engine knows of none. */
  readonly cluster: ClusterInspector | undefined;
  /** Of the cluster. */
  advisoryLocks(): Promise<AdvisoryFacts[]>;
  /** Of the cluster. */
  droppedStorage(): Promise<readonly DroppedRow[]>;
  /** Of all processes that answer. */
  sessions(): Promise<Iterable<SessionFacts>>;
  /** Of this session. */
  cursors(): Iterable<CursorFacts>;
  /** Of this session. */
  statements(): Iterable<PreparedFacts>;
  /** How values are printed. */
  readonly text: TextContext;
  sequenceState(sequence: SequenceDescriptor): Promise<SequenceState>;
}

export interface VirtualTable {
  readonly kind: 'virtual';
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly VirtualColumn[];
  /** Rows in the order of `columns`; what a row leaves out at its end is NULL. */
  rows(source: VirtualSource): Iterable<readonly Datum[]> | AsyncIterable<readonly Datum[]>;
}
