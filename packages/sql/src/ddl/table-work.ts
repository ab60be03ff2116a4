/** What a change of a table asks of the rows that are there already. */
import type {
  CheckDescriptor,
  ColumnDescriptor,
  ForeignKeyDescriptor,
  IndexDescriptor,
  TableDescriptor,
} from '../catalog/descriptor.ts';
import type { Datum } from '../session-api.ts';

/** What rows that are there already ask for. */
export type Work =
  /** Their keys or values change: all of them are written anew. */
  | { readonly kind: 'rewrite' }
  | { readonly kind: 'not null'; readonly attributeNumber: number }
  | { readonly kind: 'check'; readonly check: CheckDescriptor }
  | { readonly kind: 'index'; readonly index: IndexDescriptor }
  | ValueWork
  | { readonly kind: 'foreign key'; readonly foreignKey: ForeignKeyDescriptor };

/** Values of a column are looked at by themselves. */
export interface ValueWork {
  readonly kind: 'value';
  readonly attributeNumber: number;
  /** Throws what is wrong with the value. */
  readonly judge: (
    value: Datum,
    of: { readonly table: TableDescriptor; readonly column: ColumnDescriptor },
  ) => void;
}
