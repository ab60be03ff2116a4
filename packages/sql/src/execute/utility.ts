/** Runs statements that are no queries: settings, DDL, transaction control, and those that have nothing to do. */
import { assertNever } from '@flotilla/base';
import type { BoundUtility } from '../bind/bound.ts';
import { createTable, type DdlOptions, dropTables, truncateTables } from '../catalog/ddl.ts';
import type { ColumnDescription, StatementResult } from '../session-api.ts';
import type { SettingChange, Settings } from '../settings.ts';
import { SqlError } from '../sql-error.ts';
import { emptyResult, listResult } from './result.ts';

export interface UtilityOptions extends DdlOptions {
  readonly settings: Settings;
  readonly columns: readonly ColumnDescription[] | undefined;
  readonly onSettingChange: (change: SettingChange) => void;
}

export async function runUtility(
  plan: BoundUtility,
  options: UtilityOptions,
): Promise<StatementResult> {
  switch (plan.kind) {
    case 'create-table':
      await createTable(options, plan.definition, plan.ifNotExists);
      return emptyResult('CREATE TABLE');
    case 'drop-table':
      await dropTables(options, plan.tables, plan.ifExists);
      return emptyResult('DROP TABLE');
    case 'truncate':
      await truncateTables(options, plan.tables);
      return emptyResult('TRUNCATE TABLE');
    case 'set':
      return runSet(plan, options);
    case 'set-transaction':
      warn(options, '25P01', 'SET TRANSACTION can only be used in transaction blocks');
      return emptyResult('SET');
    case 'reset-all':
      for (const change of options.settings.resetAll()) options.onSettingChange(change);
      return emptyResult('RESET');
    case 'discard':
      for (const change of options.settings.resetAll()) options.onSettingChange(change);
      return emptyResult('DISCARD ALL');
    case 'show': {
      const value = options.settings.get(plan.name);
      if (value === undefined)
        throw new SqlError('42704', `unrecognized configuration parameter "${plan.name}"`);
      return listResult(options.columns ?? [], [[value]], 'SHOW', true);
    }
    case 'no-transaction':
      warn(options, '25P01', 'there is no transaction in progress');
      return emptyResult(plan.tag);
    case 'no-op':
      return emptyResult(plan.tag);
    default:
      return assertNever(plan);
  }
}

function runSet(
  plan: Extract<BoundUtility, { kind: 'set' }>,
  options: UtilityOptions,
): StatementResult {
  if (plan.local) {
    // Checked like any other, then gone with the statement, which is a transaction by itself.
    const before = options.settings.get(plan.name);
    options.settings.set(plan.name, plan.value);
    options.settings.set(plan.name, before);
    warn(options, '25P01', 'SET LOCAL can only be used in transaction blocks');
    return emptyResult('SET');
  }
  const change = options.settings.set(plan.name, plan.value);
  if (change !== undefined) options.onSettingChange(change);
  return emptyResult(plan.reset ? 'RESET' : 'SET');
}

function warn(options: UtilityOptions, code: string, message: string): void {
  options.onNotice({ severity: 'WARNING', code, message });
}
