/** UPDATE and DELETE. */

import { assign, type CompiledAssignments } from './made-rows.ts';
import { evaluateOnce } from './operator.ts';
import type { Run } from './run.ts';
import { isSeen, storeOfTarget, type TargetedOptions, targetRows } from './target-rows.ts';
import { Returned, WritingNode, type Written, writesOf } from './write-node.ts';

export interface UpdateOptions extends TargetedOptions {
  readonly assignments: CompiledAssignments;
  readonly changesKey: boolean;
}

export class UpdateNode extends WritingNode<UpdateOptions> {
  protected async write(run: Run): Promise<Written> {
    const { target, assignments, changesKey } = this.options;
    const writer = writesOf(run).writer(storeOfTarget(target), run);
    const returned = new Returned(this.returning, run);
    const seen = target.kind === 'query' ? new Set<string>() : undefined;
    let count = 0;
    for await (const batch of targetRows(target, run, this.inputs[0])) {
      for (const { key, own, row } of batch) {
        if (key === undefined || isSeen(seen, key)) continue;
        const changed = await evaluateOnce(run, () =>
          assign(assignments, row, own, run.evaluation),
        );
        writer.complete(changed);
        writer.update(key, own, changed, changesKey);
        count++;
        if (this.returning !== undefined)
          await returned.add(row === own ? changed : [...changed, ...row.slice(changed.length)]);
        if (run.pace.due()) await run.pace.rest();
      }
    }
    return { count, returned: returned.rows };
  }
}

export class DeleteNode extends WritingNode<TargetedOptions> {
  protected async write(run: Run): Promise<Written> {
    const { target } = this.options;
    const writer = writesOf(run).writer(storeOfTarget(target), run);
    const returned = new Returned(this.returning, run);
    const seen = target.kind === 'query' ? new Set<string>() : undefined;
    let count = 0;
    for await (const batch of targetRows(target, run, this.inputs[0])) {
      for (const { key, own, row } of batch) {
        if (key === undefined || isSeen(seen, key)) continue;
        writer.delete(key, own);
        count++;
        if (this.returning !== undefined) await returned.add(row);
      }
    }
    return { count, returned: returned.rows };
  }
}
