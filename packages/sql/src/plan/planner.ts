/** From bound statements to plans. Statements about one row that is named by its whole key get a plan of their own. */
import type {
  Assignment,
  BoundDelete,
  BoundInsert,
  BoundMerge,
  BoundSelect,
  BoundStatement,
  BoundUpdate,
  BoundWrite,
} from '../bind/bound.ts';
import type { Expression } from '../bind/expression.ts';
import { markColumns } from '../bind/expression-tree.ts';
import type { Cte, Relation } from '../bind/relation.ts';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import type { PlannedCte } from '../execute/cte.ts';
import type { Evaluator } from '../execute/evaluate.ts';
import { type CompiledConflict, InsertNode } from '../execute/insert-node.ts';
import type { CompiledAssignments, RowMaker } from '../execute/made-rows.ts';
import { MergeNode } from '../execute/merge-node.ts';
import type { NodeText, Operator } from '../execute/operator.ts';
import { instrument } from '../execute/recorder.ts';
import { ScanOperator } from '../execute/sources.ts';
import type { TargetRows } from '../execute/target-rows.ts';
import { DeleteNode, UpdateNode } from '../execute/update-node.ts';
import { SelectNode, type WriteNode } from '../execute/write-node.ts';
import type { EvalContext } from '../functions/signature.ts';
import type { SqlError } from '../sql-error.ts';
import { chooseAccess, isPointAccess, isSingle } from './access-path.ts';
import { choosePath, type PlanSources } from './choose-path.ts';
import { hasSubquery, type IndexUse } from './compile.ts';
import { scanText } from './explain.ts';
import { explainNode } from './explain-node.ts';
import type { Plan, PointLookup, SelectPlan, WritePlan } from './plan.ts';
import { RelationPlanner } from './plan-relation.ts';
import { compileScan, primaryPartsOf, storeOf } from './plan-table.ts';
import { pushRow, type RowProgram } from './push-row.ts';
import { simplifyStatement } from './simplify-statement.ts';

export interface PlannedStatement {
  readonly plan: Plan;
  /** Secondary indexes that it reads. */
  readonly indexes: readonly IndexUse[];
}

/** @param evaluation what constants are computed with */
export function planStatement(
  statement: BoundStatement,
  evaluation: EvalContext,
  sources: PlanSources = {},
): PlannedStatement {
  const planner = new StatementPlanner(sources);
  switch (statement.kind) {
    case 'select':
    case 'insert':
    case 'update':
    case 'delete':
    case 'merge': {
      const simplified = simplifyStatement(statement, evaluation);
      const plan = planner.plan(simplified.statement);
      const { failure } = simplified;
      return { plan: failure ? failing(plan, failure) : plan, indexes: planner.indexes };
    }
    case 'explain': {
      const { options } = statement;
      const simplified = simplifyStatement(statement.statement, evaluation);
      const plan = planner.plan(simplified.statement);
      const { failure } = simplified;
      const inner = failure ? failing(plan, failure) : plan;
      if (options.analyze) inner.instrument();
      return { plan: { kind: 'explain', options, inner }, indexes: planner.indexes };
    }
    default:
      return { plan: statement, indexes: [] };
  }
}

/** The plan of a statement that is known to fail: not before it is run, as PREPARE alone does not. */
function failing<P extends SelectPlan | WritePlan>(plan: P, failure: SqlError): P {
  const fail = () => {
    throw failure;
  };
  if (plan.kind === 'select')
    return {
      ...plan,
      lookup: undefined,
      root: { ...textOf(plan.root), open: fail },
      explain: fail,
    };
  const { inputs, ctes, text } = plan.root;
  const root = { inputs, ctes, text, run: async () => fail() };
  return { ...plan, root, rowProgram: undefined, explain: fail };
}

function textOf({ inputs, text }: Operator): Pick<Operator, 'inputs' | 'text'> {
  return { inputs, text };
}

/** A query by itself, without EXPLAIN. @param evaluation as for `planStatement` */
export function planSelect(
  relation: Relation,
  evaluation: EvalContext,
  sources: PlanSources,
): Operator {
  const { plan } = planStatement({ kind: 'select', relation, columns: [] }, evaluation, sources);
  if (plan.kind !== 'select') throw new RangeError('the query does not write');
  return plan.root;
}

const tags = { insert: 'INSERT 0', update: 'UPDATE', delete: 'DELETE', merge: 'MERGE' } as const;

class StatementPlanner {
  private readonly relations: RelationPlanner;

  constructor(sources: PlanSources) {
    this.relations = new RelationPlanner((write) => this.write(write), sources);
  }

  get indexes(): readonly IndexUse[] {
    return this.relations.compiler.indexes;
  }

  plan(statement: BoundSelect | BoundWrite): SelectPlan | WritePlan {
    if (statement.kind !== 'select') {
      const root = this.write(statement);
      return this.writePlan(tags[statement.kind], root, this.rowProgram(statement));
    }
    const { relation } = statement;
    if (writes(relation)) {
      const root = new SelectNode(this.relations.dense(relation).operator);
      return this.writePlan('SELECT', root, undefined);
    }
    const lookup = this.pointLookup(relation);
    const root = this.relations.dense(relation).operator;
    const { locks } = this.relations;
    return { kind: 'select', root, lookup, locks, ...this.shown(root) };
  }

  private shown(root: Operator): Pick<SelectPlan, 'explain' | 'instrument'> {
    const beside = () => [
      ...this.relations.named,
      ...this.relations.compiler.subplans.map(({ name, operator }) => ({ title: name, operator })),
    ];
    const { estimates } = this.relations;
    return {
      explain: (recorder) => explainNode(root, beside(), { estimates, recorder }),
      instrument: () => {
        for (const operator of [root, ...beside().map((one) => one.operator)]) instrument(operator);
      },
    };
  }

  private writePlan(
    tag: WritePlan['tag'],
    root: WriteNode,
    rowProgram: WritePlan['rowProgram'],
  ): WritePlan {
    const shown: Operator = {
      inputs: root.inputs,
      text: rowProgram === undefined ? root.text : () => atStore(root.text?.()),
      open: () => {
        throw new RangeError('only EXPLAIN looks at this');
      },
    };
    const { explain, instrument: prepare } = this.shown(shown);
    return {
      kind: 'write',
      tag,
      root,
      rowProgram,
      explain: (recorder, count = 0) => {
        recorder?.add(shown, count);
        return explain(recorder);
      },
      instrument: prepare,
    };
  }

  /** `SELECT … FROM table WHERE key = … [FOR UPDATE]`, and nothing else. */
  private pointLookup(relation: Relation): PointLookup | undefined {
    const arranged = relation.kind === 'narrow' ? relation.input : relation;
    const locked = arranged.kind === 'lock' ? arranged : undefined;
    const sorted = locked?.input ?? arranged;
    const project = sorted.kind === 'sort' ? sorted.input : sorted;
    if (project.kind !== 'project' || project.input.kind !== 'from') return undefined;
    const { tree, where } = project.input;
    if (tree.kind !== 'item' || tree.source.kind !== 'table') return undefined;
    const { source } = tree;
    const point = this.pointOf(source, where);
    if (point === undefined || point.filter !== undefined) return undefined;
    const shown = project.outputs.slice(0, relation.types.length);
    if (shown.some(hasSubquery)) return undefined;
    const needed = source.types.map(() => false);
    for (const output of shown) markColumns(output, needed);
    const { compiler } = this.relations;
    const scan = point.scan(needed);
    const outputs = shown.map((output) => compiler.evaluator(output));
    const [target] = locked?.targets ?? [];
    const lock = target && { store: scan.store, columns: [], mode: target.mode, wait: target.wait };
    return { scan, outputs, lock };
  }

  /** UPDATE or DELETE of the one row with a key, where nothing but that row is concerned. */
  private rowProgram(write: BoundWrite): RowProgram | undefined {
    if (write.kind !== 'update' && write.kind !== 'delete') return undefined;
    const { tree, where, table, returning, ctes } = write;
    if (returning !== undefined || ctes.length > 0) return undefined;
    if (tree.kind !== 'item' || tree.source.kind !== 'table') return undefined;
    const point = this.pointOf({ table, withRowId: false }, where);
    if (point === undefined) return undefined;
    const needed = table.columns.map(() => true);
    const assignments = write.kind === 'update' ? write.assignments : 'delete';
    return pushRow({ scan: point.scan(needed), filter: point.filter, assignments });
  }

  /** One key of the table, known beforehand. */
  private pointOf(
    source: Parameters<typeof compileScan>[1],
    where: Expression | undefined,
  ):
    | {
        readonly filter: Expression | undefined;
        readonly scan: (needed: readonly boolean[]) => PointLookup['scan'];
      }
    | undefined {
    const parts = primaryPartsOf(source.table);
    const { access, filter } = chooseAccess(where, parts);
    if (!isSingle(access) || !isPointAccess(access, parts.length)) return undefined;
    const keys = access.equals.flatMap((one) => (one.kind === 'values' ? one.values : []));
    if (keys.some(hasSubquery)) return undefined;
    const path = { access, index: undefined };
    const { compiler } = this.relations;
    return {
      filter,
      scan: (needed) => compileScan(compiler, source, path, { needed, reverse: false }),
    };
  }

  private write(write: BoundWrite): WriteNode {
    const ctes = this.relations.ctes(write.ctes);
    switch (write.kind) {
      case 'insert':
        return this.insert(write, ctes);
      case 'update':
        return this.update(write, ctes);
      case 'delete':
        return this.delete(write, ctes);
      case 'merge':
        return this.merge(write, ctes);
    }
  }

  private maybe(expression: Expression | undefined): Evaluator | undefined {
    return this.relations.compiler.maybe(expression);
  }

  private returning(write: BoundWrite): readonly Evaluator[] | undefined {
    return write.returning?.outputs.map((one) => this.relations.compiler.evaluator(one));
  }

  private assignments(all: readonly Assignment[]): CompiledAssignments {
    return all.map(({ column, value }) => ({ column, value: this.maybe(value) }));
  }

  private rowMaker(
    table: TableDescriptor,
    targets: readonly number[],
    defaults: readonly (Expression | undefined)[],
  ): RowMaker {
    return { store: storeOf(table), targets, defaults: defaults.map((one) => this.maybe(one)) };
  }

  private insert(insert: BoundInsert, ctes: readonly PlannedCte[]): WriteNode {
    const { source, conflict, table } = insert;
    const compiled: CompiledConflict | undefined =
      conflict?.kind === 'update'
        ? {
            kind: 'update',
            on: conflict.on,
            assignments: this.assignments(conflict.assignments),
            where: this.maybe(conflict.where),
          }
        : conflict;
    const planned: ConstructorParameters<typeof InsertNode>[0]['source'] =
      source.kind === 'values'
        ? { kind: 'values', rows: source.rows.map((row) => row.map((one) => this.maybe(one))) }
        : { kind: 'query', operator: this.relations.dense(source.relation).operator };
    const details =
      conflict === undefined
        ? []
        : [`Conflict Resolution: ${conflict.kind === 'update' ? 'UPDATE' : 'NOTHING'}`];
    return new InsertNode({
      ctes,
      rows: this.rowMaker(table, insert.targets, insert.defaults),
      source: planned,
      conflict: compiled,
      returning: this.returning(insert),
      text: () => ({ head: `Insert on ${table.name}`, details }),
    });
  }

  /** Where the rows come from: the table alone, key by key, or a join that begins with its columns. */
  private target(write: BoundUpdate | BoundDelete | BoundMerge): {
    readonly target: TargetRows;
    readonly inputs: readonly Operator[];
  } {
    const { tree, types, where, table } = write;
    const { compiler } = this.relations;
    if (tree.kind === 'item' && tree.source.kind === 'table') {
      const { sources } = this.relations;
      const path = choosePath({ table, where, needed: undefined, order: undefined, sources });
      const { filter } = path;
      const source = { table, withRowId: false };
      const needed = table.columns.map(() => true);
      const scan = compileScan(compiler, source, path, { needed, reverse: false });
      const text = () => scanText(scan, write.alias, filter);
      const evaluator = compiler.maybe(filter);
      return {
        target: { kind: 'scan', scan, filter: evaluator },
        inputs: [new ScanOperator(scan, evaluator, text)],
      };
    }
    const relation: Relation = { kind: 'from', tree, where, types };
    const { operator } = this.relations.dense(relation);
    return { target: { kind: 'query', store: storeOf(table), operator }, inputs: [operator] };
  }

  private update(update: BoundUpdate, ctes: readonly PlannedCte[]): WriteNode {
    const keys = new Set(storeOf(update.table).keyColumns.map((column) => column.index));
    const { target, inputs } = this.target(update);
    const changesKey = update.assignments.some(({ column }) => keys.has(column));
    return new UpdateNode(
      {
        ctes,
        target,
        assignments: this.assignments(update.assignments),
        changesKey,
        returning: this.returning(update),
        text: headOf('Update', update.table),
      },
      inputs,
    );
  }

  private delete(statement: BoundDelete, ctes: readonly PlannedCte[]): WriteNode {
    const { target, inputs } = this.target(statement);
    return new DeleteNode(
      {
        ctes,
        target,
        returning: this.returning(statement),
        text: headOf('Delete', statement.table),
      },
      inputs,
    );
  }

  private merge(merge: BoundMerge, ctes: readonly PlannedCte[]): WriteNode {
    const { target, inputs } = this.target(merge);
    const actions = merge.actions.map(({ matched, condition, action }) => ({
      matched,
      condition: this.maybe(condition),
      action:
        action.kind === 'update'
          ? { kind: action.kind, assignments: this.assignments(action.assignments) }
          : action.kind === 'insert'
            ? {
                kind: action.kind,
                rows: this.rowMaker(merge.table, action.targets, merge.defaults),
                values: action.values.map((one) => this.maybe(one)),
              }
            : action,
    }));
    return new MergeNode(
      { ctes, target, actions, returning: undefined, text: headOf('Merge', merge.table) },
      inputs,
    );
  }
}

function atStore({ head, details }: NodeText = { head: '', details: [] }): NodeText {
  return { head, details: [...details, 'At Stores: row'] };
}

function headOf(word: string, table: TableDescriptor): () => NodeText {
  return () => ({ head: `${word} on ${table.name}`, details: [] });
}

/** Whether a query's WITH writes; that is allowed at the top only. */
function writes(relation: Relation): boolean {
  return relation.kind === 'with' && relation.ctes.some((cte: Cte) => cte.body?.kind === 'write');
}
