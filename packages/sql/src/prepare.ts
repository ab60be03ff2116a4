/** From a parsed statement to a plan: looks up the tables it names, binds, plans, and remembers the plan by its text. */

import { bindStatement } from './bind/bind-statement.ts';
import type { BoundStatement } from './bind/bound.ts';
import { BindContext } from './bind/context.ts';
import { judgeOf } from './bind/stored-expression.ts';
import { columnDescription } from './bind/target-list.ts';
import type { Catalog } from './catalog/catalog.ts';
import type { DatabaseCatalog } from './catalog/database-catalog.ts';
import { NameResolver } from './catalog/name-resolver.ts';
import { sessionNames } from './catalog/session-names.ts';
import type { CatalogSnapshot } from './catalog/snapshot.ts';
import type { TableStatistics } from './catalog/statistics.ts';
import { textSettings } from './execute/run.ts';
import type { EvalContext } from './functions/signature.ts';
import { plansPerStatement, staleRunsMax } from './limits.ts';
import type { Statement, StatementNode } from './parse/parser.ts';
import type { IndexTest } from './plan/choose-path.ts';
import type { PreparedPlan } from './plan/plan.ts';
import { planStatement } from './plan/planner.ts';
import type { ColumnDescription, Oid } from './session-api.ts';
import { canonicalSettingName } from './settings.ts';
import { SqlError } from './sql-error.ts';
import { jsonType, type SqlType, textType } from './types/type.ts';

/** How names are looked up. */
export interface Place {
  readonly database: DatabaseCatalog;
  readonly searchPath: readonly string[];
  /** The open transaction's own catalog, if it has changed it. */
  readonly provisional: CatalogSnapshot | undefined;
  /** Whether the open transaction sees all entries of an index; undefined: there is none. */
  readonly usable?: IndexTest | undefined;
}

export class Preparer {
  private readonly catalog: Catalog;
  private readonly plans = new WeakMap<StatementNode, Map<string, PreparedPlan>>();

  constructor(catalog: Catalog) {
    this.catalog = catalog;
  }

  /** A plan that is right as of the catalog version known here. Throws SqlError, DbError. */
  async prepare(
    statement: Statement,
    declared: readonly Oid[],
    evaluation: EvalContext,
    place: Place,
  ): Promise<PreparedPlan> {
    const { database, searchPath, provisional, usable } = place;
    if (provisional !== undefined) {
      const names = new NameResolver(provisional, searchPath);
      return bindAndPlan({ statement, declared, evaluation, names, provisional, usable });
    }
    // Who is told columns now is to get them.
    if (!this.catalog.isNewest) await this.catalog.loadNewest();
    const key = `${database.id};${declared.join()};${evaluation.zone.name};${evaluation.dateOrder ?? ''};${searchPath.join()}`;
    const cached = this.plans.get(statement.node)?.get(key);
    if (
      cached !== undefined &&
      this.catalog.stillNamed(cached) &&
      mayRead(cached, usable) &&
      isByNewest(cached, database.snapshot)
    )
      return cached;
    const fresh = await this.build(statement, declared, evaluation, place);
    if (fresh.shareable) this.remember(statement.node, key, fresh);
    if (mayRead(fresh, usable)) return fresh;
    // The transaction is older than an index: it alone goes without.
    const names = new NameResolver(database.snapshot, searchPath);
    return bindAndPlan({ statement, declared, evaluation, names, provisional: undefined, usable });
  }

  private remember(node: StatementNode, key: string, plan: PreparedPlan): void {
    let plans = this.plans.get(node);
    if (plans === undefined) {
      plans = new Map();
      this.plans.set(node, plans);
    }
    if (plans.size >= plansPerStatement) plans.clear();
    plans.set(key, plan);
  }

  private async build(
    statement: Statement,
    declared: readonly Oid[],
    evaluation: EvalContext,
    { database, searchPath }: Place,
  ): Promise<PreparedPlan> {
    await this.catalog.loadFirst();
    for (let attempt = 1; ; attempt++) {
      const names = new NameResolver(database.snapshot, searchPath);
      try {
        return bindAndPlan({
          statement,
          declared,
          evaluation,
          names,
          provisional: undefined,
          usable: undefined,
        });
      } catch (error) {
        if (error instanceof RangeError && error.message.includes('call stack'))
          throw new SqlError('54001', 'statement is nested too deeply', { cause: error });
        // What was not found may have come into being since; what was found may be gone.
        if (!(error instanceof SqlError) || !names.wasAsked || attempt >= staleRunsMax) throw error;
        const newest = await this.catalog.readVersion();
        if (newest === names.snapshot.version) throw error;
        await this.catalog.load(newest);
      }
    }
  }
}

function bindAndPlan(options: {
  readonly statement: Statement;
  readonly declared: readonly Oid[];
  readonly evaluation: EvalContext;
  readonly names: NameResolver;
  readonly provisional: CatalogSnapshot | undefined;
  readonly usable: IndexTest | undefined;
}): PreparedPlan {
  const { statement, declared, evaluation, names, provisional, usable } = options;
  let shareable = true;
  const noting: EvalContext = {
    zone: evaluation.zone,
    extraFloatDigits: evaluation.extraFloatDigits,
    now: evaluation.now,
    ...textSettings(evaluation),
    statementStart: evaluation.statementStart,
    clockTime: () => evaluation.clockTime(),
    parameters: [],
    user: evaluation.user,
    database: evaluation.database,
    catalog: evaluation.catalog,
    // A name in a literal is one that the plan rests on.
    names: sessionNames(() => names, evaluation.user),
    ...(evaluation.byteaOutput === undefined ? {} : { byteaOutput: evaluation.byteaOutput }),
    ...(evaluation.dateOrder === undefined ? {} : { dateOrder: evaluation.dateOrder }),
    setting: (name) => evaluation.setting(name),
    onDependsOnNow: () => {
      shareable = false;
    },
    arguments: [],
    root: evaluation,
    subqueries: undefined,
  };
  const { source, tree } = statement.node;
  const context = new BindContext({
    source,
    parameterTypes: declared,
    evaluation: noting,
    names,
    judgeOf,
  });
  const bound = bindStatement(context, tree);
  const statistics = new Map<number, TableStatistics | undefined>();
  const { plan, indexes } = planStatement(bound, noting, {
    usable,
    statisticsOf: (table) => {
      const found = names.snapshot.statisticsOf(table);
      statistics.set(table, found);
      return found;
    },
  });
  return {
    plan,
    indexes,
    statistics,
    parameterTypes: context.finalParameterTypes(),
    columns: columnsOf(bound),
    dependencies: names.dependencies,
    notices: context.notices,
    needs: context.access.needs,
    refusal: context.access.refusal,
    database: names.snapshot.contents.database,
    catalogVersion: names.snapshot.version,
    access: names.snapshot.contents.access,
    provisional,
    shareable,
  };
}

/** Whether no table has other statistics than when the plan was made. */
function isByNewest({ statistics }: PreparedPlan, snapshot: CatalogSnapshot): boolean {
  for (const [table, found] of statistics) if (snapshot.statisticsOf(table) !== found) return false;
  return true;
}

/** Whether all indexes that the plan reads may be read. */
export function mayRead(
  { indexes }: Pick<PreparedPlan, 'indexes'>,
  usable: IndexTest | undefined,
): boolean {
  return usable === undefined || indexes.every(({ table, index }) => usable(table, index.number));
}

function columnsOf(bound: BoundStatement): readonly ColumnDescription[] | undefined {
  switch (bound.kind) {
    case 'select':
      return bound.columns.map(columnDescription);
    case 'insert':
    case 'update':
    case 'delete':
    case 'merge':
      return bound.returning?.columns.map(columnDescription);
    case 'explain':
      return [plainColumn('QUERY PLAN', bound.options.format === 'json' ? jsonType : textType)];
    case 'show':
      if (bound.name === 'all')
        return ['name', 'setting', 'description'].map((name) => plainColumn(name, textType));
      return [plainColumn(canonicalSettingName(bound.name), textType)];
    default:
      return undefined;
  }
}

function plainColumn(name: string, type: SqlType): ColumnDescription {
  return {
    name,
    typeOid: type.oid,
    typeLength: type.length,
    typeModifier: -1,
    tableOid: 0,
    attributeNumber: 0,
  };
}
