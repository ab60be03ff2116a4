/** What follows a change of the catalog once it has committed: rows that nobody can read go, ranges hear what they obey. */
import type { Logger } from '@flotilla/base';
import type { CatalogEditor } from '../catalog/editor.ts';
import type { ClusterInspector } from '../cluster/cluster-inspector.ts';
import type { KvDatabase } from '../kv-transaction.ts';
import type { Notice } from '../session-api.ts';
import { deleteGarbage } from './garbage.ts';
import { configureRanges } from './range-parameters.ts';

/** Never fails the statement: what it did is done already. */
export type AfterChange = (editor: CatalogEditor) => Promise<void>;

export function afterChange(options: {
  readonly database: KvDatabase;
  readonly cluster: ClusterInspector | undefined;
  readonly logger: Logger;
  readonly onNotice: (notice: Notice) => void;
}): AfterChange {
  return async (editor) => {
    await deleteGarbage(options.database, editor.garbage, options.logger);
    await configureRanges(editor, options);
  };
}
