/**
 * Takes a bound statement through `Simplifier`: every expression of it, from the top of a query down, which is the order in
 * which PostgreSQL's planner meets them and so decides which of several failures is told.
 */
import type { Assignment, BoundConflict, BoundSelect, BoundWrite } from '../bind/bound.ts';
import type { Expression } from '../bind/expression.ts';
import type { Cte, FromTree, Relation, Source } from '../bind/relation.ts';
import type { EvalContext } from '../functions/signature.ts';
import type { SqlError } from '../sql-error.ts';
import { Simplifier } from './simplify.ts';

export interface Simplified<S> {
  readonly statement: S;
  /** What the statement fails with when it is run. */
  readonly failure: SqlError | undefined;
}

export function simplifyStatement<S extends BoundSelect | BoundWrite>(
  statement: S,
  evaluation: EvalContext,
): Simplified<S> {
  const own = new StatementSimplifier(evaluation);
  return { statement: own.statement(statement) as S, failure: own.expressions.failure };
}

class StatementSimplifier {
  readonly expressions: Simplifier;
  private readonly queries = new Map<Relation, Relation>();
  private readonly named = new Set<Cte>();

  constructor(evaluation: EvalContext) {
    this.expressions = new Simplifier(evaluation, (query) => this.query(query));
  }

  statement(statement: BoundSelect | BoundWrite): BoundSelect | BoundWrite {
    if (statement.kind === 'select')
      return { ...statement, relation: this.relation(statement.relation) };
    return this.write(statement);
  }

  private one(expression: Expression): Expression {
    return this.expressions.simplify(expression);
  }

  private all<E extends Expression>(expressions: readonly E[]): readonly E[] {
    // The kinds that are listed by their own type (aggregates, windows) stay what they are.
    return expressions.map((one) => this.one(one) as E);
  }

  private query(query: Relation): Relation {
    let own = this.queries.get(query);
    if (own === undefined) {
      own = this.relation(query);
      this.queries.set(query, own);
    }
    return own;
  }

  private relation(relation: Relation): Relation {
    switch (relation.kind) {
      case 'one-row':
      case 'cte':
        return relation;
      case 'from': {
        const where = this.expressions.maybe(relation.where);
        const kept = where?.kind === 'constant' && where.value === true ? undefined : where;
        return { ...relation, where: kept, tree: this.tree(relation.tree) };
      }
      case 'values':
        return { ...relation, rows: relation.rows.map((row) => this.all(row)) };
      case 'filter': {
        const condition = this.one(relation.condition);
        return { ...relation, condition, input: this.relation(relation.input) };
      }
      case 'aggregate': {
        const keys = this.all(relation.keys);
        const aggregates = this.all(relation.aggregates);
        return { ...relation, keys, aggregates, input: this.relation(relation.input) };
      }
      case 'window': {
        const functions = this.all(relation.functions);
        return { ...relation, functions, input: this.relation(relation.input) };
      }
      case 'project': {
        const outputs = this.all(relation.outputs);
        return { ...relation, outputs, input: this.relation(relation.input) };
      }
      case 'project-set': {
        const sets = relation.sets.map((set) => ({ ...set, arguments: this.all(set.arguments) }));
        return { ...relation, sets, input: this.relation(relation.input) };
      }
      case 'limit': {
        const input = this.relation(relation.input);
        const limit = this.expressions.maybe(relation.limit);
        return { ...relation, input, limit, offset: this.expressions.maybe(relation.offset) };
      }
      case 'distinct':
      case 'sort':
      case 'lock':
      case 'narrow':
        return { ...relation, input: this.relation(relation.input) };
      case 'set-operation': {
        const left = this.relation(relation.left);
        return { ...relation, left, right: this.relation(relation.right) };
      }
      case 'with':
        this.ctes(relation.ctes);
        return { ...relation, input: this.relation(relation.input) };
    }
  }

  private tree(tree: FromTree): FromTree {
    if (tree.kind === 'join') {
      const condition = this.expressions.maybe(tree.condition);
      return { ...tree, condition, left: this.tree(tree.left), right: this.tree(tree.right) };
    }
    return { ...tree, arguments: this.all(tree.arguments), source: this.source(tree.source) };
  }

  private source(source: Source): Source {
    if (source.kind === 'table' || source.kind === 'virtual') return source;
    if (source.kind === 'function') return { ...source, arguments: this.all(source.arguments) };
    return this.relation(source);
  }

  /** Queries that are referred to stay the objects that they are. */
  private ctes(ctes: readonly Cte[]): void {
    for (const cte of ctes) {
      const { body } = cte;
      if (body === undefined || this.named.has(cte)) continue;
      this.named.add(cte);
      switch (body.kind) {
        case 'query':
          cte.body = { ...body, relation: this.relation(body.relation) };
          break;
        case 'recursive':
          cte.body = {
            ...body,
            initial: this.relation(body.initial),
            step: this.relation(body.step),
          };
          break;
        case 'write':
          cte.body = { ...body, write: this.write(body.write) };
          break;
      }
    }
  }

  private write(write: BoundWrite): BoundWrite {
    this.ctes(write.ctes);
    const { returning } = write;
    const own = {
      returning: returning && { ...returning, outputs: this.all(returning.outputs) },
    };
    if (write.kind === 'insert') {
      const { source, targets } = write;
      // A default that no row takes is not computed, and so does not fail.
      const taken = write.defaults.map((one, column) => {
        const at = targets.indexOf(column);
        if (at < 0) return this.expressions.maybe(one);
        const asked = source.kind === 'values' && source.rows.some((row) => row[at] === undefined);
        return asked ? this.expressions.maybe(one) : one;
      });
      return {
        ...write,
        ...own,
        source:
          source.kind === 'query'
            ? { ...source, relation: this.relation(source.relation) }
            : { ...source, rows: source.rows.map((row) => this.some(row)) },
        defaults: taken,
        conflict: this.conflict(write.conflict),
      };
    }
    const tree = this.tree(write.tree);
    if (write.kind === 'delete') return { ...write, ...own, tree, where: this.where(write.where) };
    if (write.kind === 'update') {
      const assignments = this.assignments(write.assignments);
      return { ...write, ...own, assignments, tree, where: this.where(write.where) };
    }
    return {
      ...write,
      ...own,
      tree,
      where: this.where(write.where),
      defaults: this.some(write.defaults),
      actions: write.actions.map((one) => {
        const { action } = one;
        return {
          ...one,
          condition: this.where(one.condition),
          action:
            action.kind === 'update'
              ? { ...action, assignments: this.assignments(action.assignments) }
              : action.kind === 'insert'
                ? { ...action, values: this.some(action.values) }
                : action,
        };
      }),
    };
  }

  private where(where: Expression | undefined): Expression | undefined {
    return this.expressions.maybe(where);
  }

  private some(all: readonly (Expression | undefined)[]): readonly (Expression | undefined)[] {
    return all.map((one) => this.expressions.maybe(one));
  }

  private assignments(all: readonly Assignment[]): readonly Assignment[] {
    return all.map(({ column, value }) => ({ column, value: this.expressions.maybe(value) }));
  }

  private conflict(conflict: BoundConflict | undefined): BoundConflict | undefined {
    if (conflict?.kind !== 'update') return conflict;
    const assignments = this.assignments(conflict.assignments);
    return { ...conflict, assignments, where: this.where(conflict.where) };
  }
}
