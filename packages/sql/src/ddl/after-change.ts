/** What follows a change of the catalog once it has committed: dropped storage is cleared in the background, ranges hear what they obey. */
import type { Logger } from '@flotilla/base';
import type { CatalogEditor } from '../catalog/editor.ts';
import type { ClusterInspector } from '../cluster/cluster-inspector.ts';
import type { DroppedStorage } from '../dropped/dropped-storage.ts';
import type { Notice } from '../session-api.ts';
import { configureRanges } from './range-parameters.ts';

/** Never fails the statement: what it did is done already. */
export type AfterChange = (editor: CatalogEditor) => Promise<void>;

export function afterChange(options: {
  readonly dropped: DroppedStorage;
  readonly cluster: ClusterInspector | undefined;
  readonly logger: Logger;
  readonly onNotice: (notice: Notice) => void;
}): AfterChange {
  return async (editor) => {
    if (editor.garbage.length > 0) options.dropped.wake();
    await configureRanges(editor, options);
  };
}
