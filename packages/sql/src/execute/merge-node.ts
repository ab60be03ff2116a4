/** MERGE. */
import { SqlError } from '../sql-error.ts';
import type { Evaluator, Row } from './evaluate.ts';
import { assign, assigned, type CompiledAssignments, makeRow, type RowMaker } from './made-rows.ts';
import { evaluateOnce } from './operator.ts';
import type { Run } from './run.ts';
import { isSeen, storeOfTarget, type TargetedOptions, targetRows } from './target-rows.ts';
import { WritingNode, type Written, writesOf } from './write-node.ts';

export interface CompiledMergeAction {
  readonly matched: boolean;
  readonly condition: Evaluator | undefined;
  readonly action:
    | { readonly kind: 'nothing' | 'delete' }
    | { readonly kind: 'update'; readonly assignments: CompiledAssignments }
    | {
        readonly kind: 'insert';
        readonly rows: RowMaker;
        readonly values: readonly (Evaluator | undefined)[];
      };
}

export interface MergeOptions extends TargetedOptions {
  readonly actions: readonly CompiledMergeAction[];
}

export class MergeNode extends WritingNode<MergeOptions> {
  /** Throws 21000 where two source rows would change one row. */
  protected async write(run: Run): Promise<Written> {
    const { target, actions } = this.options;
    const writer = writesOf(run).writer(storeOfTarget(target), run);
    const touched = new Set<string>();
    let count = 0;
    for await (const batch of targetRows(target, run, this.inputs[0])) {
      for (const { key, own, row } of batch) {
        const chosen = await this.choose(run, actions, key !== undefined, row);
        if (chosen === undefined || chosen.kind === 'nothing') continue;
        if (chosen.kind === 'insert') {
          const { rows, values } = chosen;
          const made = await evaluateOnce(run, () =>
            makeRow(rows, run, (i) => assigned(rows, values[i], i, run.evaluation, row)),
          );
          writer.complete(made);
          writer.insert(made);
          count++;
          continue;
        }
        if (key === undefined) continue;
        if (isSeen(touched, key))
          throw new SqlError('21000', 'MERGE command cannot affect row a second time', {
            hint: 'Ensure that not more than one source row matches any one target row.',
          });
        count++;
        if (chosen.kind !== 'update') {
          writer.delete(key, own);
          continue;
        }
        const changed = await evaluateOnce(run, () =>
          assign(chosen.assignments, row, own, run.evaluation),
        );
        writer.complete(changed);
        writer.update(key, own, changed, writer.store.keyColumns.length > 0);
      }
    }
    return { count, returned: [] };
  }

  private choose(
    run: Run,
    actions: readonly CompiledMergeAction[],
    matched: boolean,
    row: Row,
  ): Promise<CompiledMergeAction['action'] | undefined> {
    return evaluateOnce(
      run,
      () =>
        actions.find(
          (one) =>
            one.matched === matched &&
            (one.condition === undefined || one.condition(row, run.evaluation) === true),
        )?.action,
    );
  }
}
